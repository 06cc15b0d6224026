package block

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"unicode/utf8"

	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
)

// The functions of text that the cty library does not have. A marked argument
// marks the result.
var (
	base64Encode = text1(func(s string) (string, error) { return base64.StdEncoding.EncodeToString([]byte(s)), nil })
	base64Decode = text1(func(s string) (string, error) {
		p, err := base64.StdEncoding.DecodeString(s)
		if err != nil || !utf8.Valid(p) {
			return "", errors.New("the argument is not Base64 of a text")
		}
		return string(p), nil
	})
	sha256Hex = text1(func(s string) (string, error) {
		sum := sha256.Sum256([]byte(s))
		return hex.EncodeToString(sum[:]), nil
	})
	hmacSHA256Hex = text2(cty.String, func(key, message string) cty.Value {
		mac := hmac.New(sha256.New, []byte(key))
		mac.Write([]byte(message))
		return cty.StringVal(hex.EncodeToString(mac.Sum(nil)))
	})
)

func text1(f func(string) (string, error)) function.Function {
	return function.New(&function.Spec{
		Params: []function.Parameter{{Name: "text", Type: cty.String}},
		Type:   function.StaticReturnType(cty.String),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			s, err := f(args[0].AsString())
			return cty.StringVal(s), err
		},
	})
}

func text2(result cty.Type, f func(a, b string) cty.Value) function.Function {
	return function.New(&function.Spec{
		Params: []function.Parameter{{Name: "a", Type: cty.String}, {Name: "b", Type: cty.String}},
		Type:   function.StaticReturnType(result),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			return f(args[0].AsString(), args[1].AsString()), nil
		},
	})
}
