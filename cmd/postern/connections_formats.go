package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/postern-proxy/postern/admin"
	"github.com/postern-proxy/postern/connection"
)

// nango is a connection as Nango's API gives it
// (docs.nango.dev/reference/api/connection/get, 2026-11-29). The refresh token is
// there if it was asked for (refresh_token=true).
type nango struct {
	ID          string `json:"connection_id"`
	Provider    string `json:"provider_config_key"`
	Credentials *struct {
		Type    string          `json:"type"`
		Access  string          `json:"access_token"`
		Refresh string          `json:"refresh_token"`
		Expires time.Time       `json:"expires_at"`
		Raw     json.RawMessage `json:"raw"` // the provider's answer
	} `json:"credentials"`
}

// readIncoming reads connections of either form: a sequence of objects, or of
// lists of them, or {"connections": [...]}. renamed says what providers are called
// here.
func readIncoming(r io.Reader, renamed map[string]string, into *importer) error {
	d := json.NewDecoder(r)
	for n := 1; ; {
		var value json.RawMessage
		if err := d.Decode(&value); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("connection %d is not JSON: %w", n, err)
		}
		list, err := elements(value)
		if err != nil {
			return fmt.Errorf("connection %d: %w", n, err)
		}
		for _, one := range list {
			if err := into.take(one, renamed); err != nil {
				return fmt.Errorf("connection %d: %w", n, err)
			}
			n++
		}
	}
}

// elements takes a list apart.
func elements(value json.RawMessage) (list []json.RawMessage, err error) {
	if bytes.HasPrefix(value, []byte("[")) {
		return list, json.Unmarshal(value, &list)
	}
	var whole struct {
		Connections []json.RawMessage `json:"connections"`
	}
	if err := json.Unmarshal(value, &whole); err != nil {
		return nil, err
	}
	if whole.Connections != nil {
		return whole.Connections, nil
	}
	return []json.RawMessage{value}, nil
}

// take brings in one connection.
func (i *importer) take(value json.RawMessage, renamed map[string]string) error {
	var kind struct {
		Format string `json:"format"`
		nango
	}
	if err := json.Unmarshal(value, &kind); err != nil {
		return err
	}
	switch {
	case kind.Format == connection.ParcelFormat:
		var p admin.Parcel
		if err := json.Unmarshal(value, &p); err != nil {
			return err
		}
		if i.ask.Key == "" {
			return errors.New("it is sealed, so --key is needed")
		}
		c := admin.Incoming{Provider: p.Provider, Account: p.Account, Credential: p.Credential, Sealed: p.Sealed}
		if name := renamed[p.Provider]; name != "" {
			c.Provider, c.SealedFor = name, p.Provider
		}
		return i.add(c)
	case kind.Format != "":
		return fmt.Errorf("this version of Postern does not know the format %q", kind.Format)
	case kind.ID == "" || kind.Credentials == nil:
		return errors.New("it is neither a line of an export nor a connection of Nango with its credentials")
	}
	return i.takeNango(&kind.nango, fallback(renamed[kind.Provider], kind.Provider))
}

func (i *importer) takeNango(n *nango, provider string) error {
	k := n.Credentials
	if k.Type != "OAUTH2" {
		i.done.Refused = append(i.done.Refused, admin.Refused{Provider: provider, Account: n.ID, Reason: fmt.Sprintf("its credentials are %s, not OAUTH2", k.Type), Hint: "Such a secret belongs where the policy's credential reads it."})
		return nil
	}
	c := admin.Incoming{Provider: provider, Account: n.ID, Access: k.Access, Refresh: k.Refresh, Expires: k.Expires}
	var raw struct {
		Scope any `json:"scope"`
	}
	if bytes.HasPrefix(k.Raw, []byte("{")) && json.Unmarshal(k.Raw, &raw) == nil {
		c.Answer = k.Raw
		if scope, ok := raw.Scope.(string); ok {
			c.Scopes = strings.FieldsFunc(scope, func(r rune) bool { return r == ' ' || r == ',' })
		}
	}
	return i.add(c)
}
