package oauthmock

import (
	"encoding/json"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/postern-proxy/postern/e2e/harness"
)

// TestAPI takes the server's tokens, for as long as they are good, and no others.
func TestAPI(t *testing.T) {
	s, err := Start(harness.NeedNode(t, "oauth2-mock-server"), 2*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	resp, err := http.PostForm(s.At("/token"), url.Values{"grant_type": {"client_credentials"}, "scope": {"orders.read"}})
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var got struct {
		Token   string `json:"access_token"`
		Expires int    `json:"expires_in"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&got); err != nil || got.Token == "" || got.Expires != 2 {
		t.Fatalf("%s %+v %v", resp.Status, got, err)
	}
	call := func(token string) int {
		req, _ := http.NewRequest(http.MethodGet, s.At("/me"), nil)
		req.Header.Set("Authorization", "Bearer "+token)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp.StatusCode
	}
	if status := call(got.Token); status != http.StatusOK {
		t.Errorf("a new token: %d", status)
	}
	if status := call(got.Token + "x"); status != http.StatusUnauthorized {
		t.Errorf("a changed token: %d", status)
	}
	for deadline := time.Now().Add(10 * time.Second); call(got.Token) != http.StatusUnauthorized; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("a token of two seconds is still good after ten")
		}
	}
}
