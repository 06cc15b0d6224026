package peers

import "testing"

// TestStandby shows that a commit waits for a synchronous standby and for no other, that no committed row is lost when
// the primary crashes, and that the standby takes over.
func TestStandby(t *testing.T) {
	for _, c := range []struct {
		name string
		sync bool
	}{{"synchronous", true}, {"asynchronous", false}} {
		t.Run(c.name, func(t *testing.T) {
			primary := PostgresFor(t, PostgresOptions{})
			standby := StandbyFor(t, primary, "second", c.sync)
			must(t, sql(primary, "CREATE TABLE kept (n int)"))
			must(t, primary.WaitReplay(standby))
			if err := sql(standby, "INSERT INTO kept VALUES (1)"); err == nil {
				t.Error("a standby took a write")
			}

			must(t, standby.Pause())
			committed := make(chan error, 1)
			go func() { committed <- sql(primary, "INSERT INTO kept VALUES (2)") }()
			if c.sync {
				must(t, primary.await("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'", "1"))
				must(t, standby.Continue())
				must(t, <-committed)
			} else {
				must(t, <-committed)
				must(t, standby.Continue())
				must(t, primary.WaitReplay(standby))
			}
			must(t, primary.Kill())
			must(t, standby.Promote())
			got, err := standby.SQL("postgres", "INSERT INTO kept VALUES (3); SELECT sum(n) FROM kept")
			if got != "5" || err != nil {
				t.Errorf("after the promotion: %q, %v", got, err)
			}
		})
	}
}

func sql(p *Postgres, text string) error {
	_, err := p.SQL("postgres", text)
	return err
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
