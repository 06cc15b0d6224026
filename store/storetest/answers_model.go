package storetest

import (
	"errors"
	"fmt"
	"time"

	"pgregory.net/rapid"

	"github.com/postern-proxy/postern/policy/idempotency"
)

// modelledAnswer is what a key has to be: which claim has it, and how it stands.
type modelledAnswer struct {
	claim  *idempotency.Claim
	state  idempotency.State
	answer string
	why    string
	unsure bool
	acted  bool
}

// answersModel makes random moves through both handles, under leases that hold
// and that are lost, and compares every finding with a map. No lease and no memory
// ends by itself meanwhile.
func answersModel(s *answers) {
	runs := 0
	rapid.Check(s.T, func(t *rapid.T) {
		runs++
		keys := map[idempotency.ID]*modelledAnswer{}
		var claims []*idempotency.Claim // all that were ever made
		handle := func() idempotency.Store {
			return rapid.SampledFrom([]idempotency.Store{s.a, s.b}).Draw(t, "handle")
		}
		t.Repeat(map[string]func(*rapid.T){
			"begin": func(t *rapid.T) {
				c := Claim(fmt.Sprint(runs, rapid.IntRange(1, 3).Draw(t, "key")), rapid.SampledFrom([]string{"p", "p", "p", "q"}).Draw(t, "payload"))
				c.Resend = rapid.SampledFrom([]time.Duration{0, time.Hour}).Draw(t, "resend")
				got, err := handle().Begin(s.Context(), c)
				if err != nil {
					t.Fatal(err)
				}
				claims = append(claims, c)
				m := keys[c.ID]
				want := idempotency.Standing{}
				switch {
				case m == nil:
					keys[c.ID] = &modelledAnswer{claim: c, state: idempotency.Sent}
				case m.claim.Fingerprint != c.Fingerprint:
					want.Found = idempotency.Mismatch
				case m.state == idempotency.Sent:
					want.Found = idempotency.InFlight
				case m.answer != "":
					want.Found, want.Answer, want.Acted, want.Why = idempotency.Replay, []byte(m.answer), true, m.why
				default:
					want.Acted, want.Why = m.acted || m.state == idempotency.Done, m.why
					if want.Found = idempotency.Open; c.Resend > 0 {
						want.Found, want.Unsure = idempotency.Begun, true
						keys[c.ID] = &modelledAnswer{claim: c, state: idempotency.Sent, unsure: true, acted: want.Acted, why: m.why}
					}
				}
				got.Age, got.Left = 0, 0
				if fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", want) {
					t.Fatalf("found %+v, want %+v", got, want)
				}
			},
			"end": func(t *rapid.T) {
				if len(claims) == 0 {
					t.Skip("none has begun")
				}
				c := rapid.SampledFrom(claims).Draw(t, "claim")
				e := idempotency.Ending{State: rapid.SampledFrom([]idempotency.State{idempotency.Done, idempotency.Unknown, idempotency.Free}).Draw(t, "state"), Keep: time.Hour}
				if e.State == idempotency.Done {
					e.Answer = rapid.SliceOfN(rapid.Byte(), 0, 50).Draw(t, "answer")
				}
				if e.State != idempotency.Free {
					e.Why = rapid.StringMatching("[a-z ]{0,8}").Draw(t, "why")
				}
				m := keys[c.ID]
				held := m != nil && m.claim.Token == c.Token
				err := handle().End(s.Context(), c.Lease, &e)
				if held != (err == nil) || err != nil && !errors.Is(err, idempotency.ErrLost) {
					t.Fatalf("%q, held %v: %v", e.State, held, err)
				}
				switch {
				case !held:
				case e.State == idempotency.Free:
					delete(keys, c.ID)
				default:
					m.state, m.answer, m.why = e.State, string(e.Answer), e.Why
				}
			},
			"renew": func(t *rapid.T) {
				if len(claims) == 0 {
					t.Skip("none has begun")
				}
				c := rapid.SampledFrom(claims).Draw(t, "claim")
				m := keys[c.ID]
				held := m != nil && m.claim.Token == c.Token && m.state == idempotency.Sent
				if err := handle().Renew(s.Context(), c.Lease, lease); held != (err == nil) || err != nil && !errors.Is(err, idempotency.ErrLost) {
					t.Fatalf("renew, held %v: %v", held, err)
				}
			},
			"again": func(t *rapid.T) { // who lost the answer to a claim makes it once more
				for _, m := range keys {
					if m.state != idempotency.Sent {
						continue
					}
					got, err := handle().Begin(s.Context(), m.claim)
					if err != nil || got.Found != idempotency.Begun || got.Unsure != m.unsure || got.Acted != m.acted {
						t.Fatalf("%+v, %v, want %+v", got, err, m)
					}
					return
				}
				t.Skip("none runs")
			},
		})
	})
}
