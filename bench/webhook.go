package main

import (
	"bufio"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"
)

// webhookSecret signs the events, in the scheme Stripe publishes: hex HMAC-SHA256 over `timestamp.body`.
const webhookSecret = "whsec_bench_0123456789abcdef"

// eventSize is the length of an event's body in bytes: what a small object of a payment API has.
const eventSize = 1300

// eventBody is event n.
func eventBody(created int64) (body []byte, at int) {
	text := `{"id":"evt_0000000000000000","object":"event","account":"acct_bench","api_version":"` + versionValue +
		`","created":` + strconv.FormatInt(created, 10) +
		`,"livemode":false,"type":"customer.updated","data":{"object":{"id":"cus_0000000000000000","object":"customer","pad":"`
	body = []byte(text)
	for len(body) < eventSize-4 {
		body = append(body, 'x')
	}
	return append(body, `"}}}`...), len(`{"id":"evt_`)
}

// sender is one kept connection that posts signed events, each with an id of its own.
type sender struct {
	conn   net.Conn
	reader *bufio.Reader
	head   []byte
	body   []byte
	at     int
	stamp  string
	same   bool // every event is the same
	mac    hash.Hash
	out    []byte
}

func newSender(conn net.Conn, path string, same bool) *sender {
	now := time.Now().Unix()
	created := now
	if same {
		created = 1_700_000_000
	}
	body, at := eventBody(created)
	text := "POST " + path + " HTTP/1.1\r\nHost: " + conn.RemoteAddr().String() + "\r\nUser-Agent: bench/1\r\n" +
		"Content-Type: application/json\r\nContent-Length: " + strconv.Itoa(len(body)) + "\r\nStripe-Signature: t="
	return &sender{
		same: same, conn: conn, reader: bufio.NewReaderSize(conn, 4<<10), head: []byte(text), body: body, at: at,
		stamp: strconv.FormatInt(now, 10), mac: hmac.New(sha256.New, []byte(webhookSecret)),
	}
}

// call posts event n; any answer but 200 is a failure.
func (s *sender) call(n uint64) error {
	if !s.same {
		number(s.body[s.at:s.at+numberLen], n)
	}
	s.mac.Reset()
	s.mac.Write([]byte(s.stamp))
	s.mac.Write([]byte{'.'})
	s.mac.Write(s.body)
	s.out = append(s.out[:0], s.head...)
	s.out = append(s.out, s.stamp...)
	s.out = append(s.out, ",v1="...)
	s.out = hex.AppendEncode(s.out, s.mac.Sum(nil))
	s.out = append(s.out, "\r\n\r\n"...)
	s.out = append(s.out, s.body...)
	if _, err := s.conn.Write(s.out); err != nil {
		return fmt.Errorf("writing the event: %w", err)
	}
	answer, err := http.ReadResponse(s.reader, &http.Request{Method: http.MethodPost})
	if err != nil {
		return fmt.Errorf("reading the answer: %w", err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		return fmt.Errorf("reading the answer: %w", err)
	}
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("answered %s: %.200s", answer.Status, text)
	}
	return nil
}
