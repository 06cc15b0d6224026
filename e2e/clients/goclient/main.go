// Goclient creates and reads a customer with Go's default HTTP client and nothing but its environment.
//
// usage: goclient EMAIL [ORIGIN [KEY]]
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/url"
	"os"
	"strings"
)

type call struct {
	Status  int               `json:"status"`
	ID      string            `json:"id"`
	Email   string            `json:"email"`
	Postern map[string]string `json:"postern"`
	Proto   string            `json:"proto"`
}

func main() {
	log.SetFlags(0)
	args := append(os.Args[1:], make([]string, 3)...)
	email, origin, key := args[0], args[1], args[2]
	if origin == "" {
		origin = "https://api.stripe.com"
	}
	create, err := http.NewRequest(http.MethodPost, origin+"/v1/customers", strings.NewReader(url.Values{"email": {email}}.Encode()))
	if err != nil {
		log.Fatal(err)
	}
	create.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	created := do(create, key)
	read, err := http.NewRequest(http.MethodGet, origin+"/v1/customers/"+created.ID, nil)
	if err != nil {
		log.Fatal(err)
	}
	json.NewEncoder(os.Stdout).Encode(map[string]call{"created": created, "read": do(read, key)})
}

func do(req *http.Request, key string) call {
	if key != "" {
		req.Header.Set("Authorization", "Bearer "+key)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		log.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		log.Fatal(err)
	}
	c := call{Status: resp.StatusCode, Proto: resp.Proto, Postern: map[string]string{}}
	if err := json.Unmarshal(body, &c); err != nil {
		log.Fatal(fmt.Errorf("%d %s: %w", resp.StatusCode, body, err))
	}
	for name := range resp.Header {
		if rest, ok := strings.CutPrefix(name, "Postern-"); ok {
			c.Postern[strings.ToLower(rest)] = resp.Header.Get(name)
		}
	}
	return c
}
