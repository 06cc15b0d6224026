package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
)

// streamer is one kept HTTP/1.1 connection that moves a stream per call, down (GET) or up (POST).
type streamer struct {
	conn   io.ReadWriteCloser
	reader *bufio.Reader
	method string
	head   []byte
	want   []byte // one chunk
	room   []byte // one chunk
	answer []byte
}

func newStreamer(conn io.ReadWriteCloser, method, peer string) *streamer {
	path, length := "/v1/streams/10m", 0
	if method == http.MethodPost {
		path, length = "/v1/streams", large
	}
	return &streamer{
		conn: conn, reader: bufio.NewReaderSize(conn, 4<<10), method: method,
		head: head(method, path, peer, length), want: bytes.Repeat([]byte("y"), chunk),
		room: make([]byte, chunk), answer: make([]byte, small+1),
	}
}

// call moves one stream and checks every byte at its receiving end.
func (s *streamer) call(uint64) error {
	if _, err := s.conn.Write(s.head); err != nil {
		return fmt.Errorf("writing the request: %w", err)
	}
	if s.method == http.MethodPost {
		for range large / chunk {
			if _, err := s.conn.Write(s.want); err != nil {
				return fmt.Errorf("writing the stream: %w", err)
			}
		}
	}
	answer, err := http.ReadResponse(s.reader, &http.Request{Method: s.method})
	if err != nil {
		return fmt.Errorf("reading the answer: %w", err)
	}
	if s.method == http.MethodPost {
		return checkDocument(answer, s.answer, document(small), 0)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("answered %s", answer.Status)
	}
	return readStream(answer.Body, s.want, s.room)
}
