package inbound

import (
	"fmt"
	"math/big"
	"strings"
	"time"
)

// maxDigits is how many digits a sequence may have before its point, and after.
const maxDigits = 500

// TimeRank is the rank of what happened at t, to the microsecond as it is stored.
func TimeRank(t time.Time, gone bool) Rank {
	if t.IsZero() {
		return ""
	}
	return rank('t', fmt.Sprint(t.UnixMicro()), gone)
}

// SequenceRank is the rank of what has a number, exactly and however large; none if
// it is not a number in decimal digits.
func SequenceRank(number string, gone bool) Rank {
	if strings.ContainsAny(number, "eE") {
		f, ok := plain(number)
		if !ok {
			return ""
		}
		number = f
	}
	return rank('s', number, gone)
}

// PlaceRank is the rank of what has a place in the order of arrival.
func PlaceRank(place int64) Rank { return rank('a', fmt.Sprint(place), false) }

// plain writes a number with an exponent without it.
func plain(number string) (string, bool) {
	at := strings.IndexAny(number, "eE")
	digits, exponent := number[:at], number[at+1:]
	if exponent != "" && (exponent[0] == '+' || exponent[0] == '-') {
		exponent = exponent[1:]
	}
	if _, _, ok := parts(strings.TrimPrefix(digits, "-")); !ok || !decimal(exponent) || len(strings.TrimLeft(exponent, "0")) > 3 || len(digits) > maxDigits {
		return "", false
	}
	r, ok := new(big.Rat).SetString(number)
	if !ok {
		return "", false
	}
	return r.FloatString(maxDigits), true
}

// rank writes a decimal number so that the order of the texts is that of the
// numbers: the sign, how many digits there are before the point, and all digits;
// those of a negative number turned round, and closed by what is after any digit.
func rank(kind byte, number string, gone bool) Rank {
	digits, negative := strings.CutPrefix(number, "-")
	whole, fraction, ok := parts(digits)
	if !ok {
		return ""
	}
	whole, fraction = strings.TrimLeft(whole, "0"), strings.TrimRight(fraction, "0")
	if len(whole) > maxDigits || len(fraction) > maxDigits {
		return ""
	}
	text := []byte(fmt.Sprintf("%03d%s%s", len(whole), whole, fraction))
	sign := byte('1')
	if negative && len(text) > 3 {
		sign = '0'
		for i, c := range text {
			text[i] = '0' + '9' - c
		}
		text = append(text, '~')
	}
	r := string(kind) + string(sign) + string(text)
	if gone {
		r += "!"
	}
	return Rank(r)
}

// parts are the digits before the point of a number without a sign, and after it;
// false if there are others.
func parts(number string) (whole, fraction string, ok bool) {
	whole, fraction, point := strings.Cut(number, ".")
	return whole, fraction, decimal(whole) && (!point || decimal(fraction))
}

func decimal(s string) bool {
	for _, c := range []byte(s) {
		if c < '0' || c > '9' {
			return false
		}
	}
	return s != ""
}
