package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
)

// call is what an application saw of one call: a line of its output.
type call struct {
	Method  string            `json:"method"`
	Path    string            `json:"path"`
	Status  int               `json:"status"` // 0: no answer
	ID      string            `json:"id"`
	Own     string            `json:"own"`     // the idempotency key that the application sent
	Postern map[string]string `json:"postern"` // Postern's headers, in lower case without the prefix
	Error   string            `json:"error"`
	Problem struct {
		Code, Executed, Hint string
	} `json:"problem"`
}

// rounds times four calls are made at Stripe: create and read a customer, create and read a charge.
const rounds = 5

// application is a Go program that calls Stripe and a ledger with nothing but
// its environment. It knows of no proxy and of no key. First it prints its
// environment, then a line for each call; app.mjs does the same.
func application() int {
	out := json.NewEncoder(os.Stdout)
	out.Encode(map[string][]string{"environment": os.Environ()})
	for i := range rounds {
		customer := do(http.MethodPost, "https://api.stripe.com", "/v1/customers", url.Values{"email": {fmt.Sprintf("jenny%d@example.com", i)}})
		out.Encode(customer)
		out.Encode(do(http.MethodGet, "https://api.stripe.com", "/v1/customers/"+customer.ID, nil))
		charge := do(http.MethodPost, "https://api.stripe.com", "/v1/charges", url.Values{"amount": {fmt.Sprint(100 + i)}, "currency": {"eur"}, "source": {"tok_visa"}})
		out.Encode(charge)
		out.Encode(do(http.MethodGet, "https://api.stripe.com", "/v1/charges/"+charge.ID, nil))
	}
	out.Encode(do(http.MethodPost, "https://"+ledgerHost, "/v1/entries", url.Values{"amount": {"100"}}))
	return 0
}

// do makes one call. It never sends a key.
func do(method, origin, path string, form url.Values) call {
	c := call{Method: method, Path: path, Postern: map[string]string{}}
	req, err := http.NewRequest(method, origin+path, strings.NewReader(form.Encode()))
	if err != nil {
		c.Error = err.Error()
		return c
	}
	if form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		c.Error = err.Error()
		return c
	}
	defer resp.Body.Close()
	c.Status = resp.StatusCode
	for name := range resp.Header {
		if rest, ok := strings.CutPrefix(name, "Postern-"); ok {
			c.Postern[strings.ToLower(rest)] = resp.Header.Get(name)
		}
	}
	body, err := io.ReadAll(resp.Body)
	if err == nil && strings.HasPrefix(resp.Header.Get("Content-Type"), "application/problem+json") {
		err = json.Unmarshal(body, &c.Problem)
	} else if err == nil {
		err = json.Unmarshal(body, &struct{ ID *string }{&c.ID})
	}
	if err != nil {
		c.Error = err.Error()
	}
	return c
}
