package peers

import "testing"

func TestCrashKeepsCommits(t *testing.T) {
	p := PostgresFor(t, PostgresOptions{})
	steps := []struct {
		name string
		end  func() error
	}{{"kill", p.Kill}, {"immediate", p.StopImmediate}, {"fast", p.Stop}}
	if _, err := p.SQL("postgres", "CREATE TABLE kept (n text)"); err != nil {
		t.Fatal(err)
	}
	for i, step := range steps {
		if _, err := p.SQL("postgres", "INSERT INTO kept VALUES ('"+step.name+"')"); err != nil {
			t.Fatal(err)
		}
		url := p.URL("postgres")
		if err := step.end(); err != nil {
			t.Fatal(err)
		}
		if _, err := p.SQL("postgres", "SELECT 1"); err == nil {
			t.Errorf("after %s it still answers", step.name)
		}
		if err := p.Start(); err != nil {
			t.Fatal(err)
		}
		got, err := p.SQL("postgres", "SELECT count(*), current_setting('fsync') FROM kept")
		if want := string(rune('1'+i)) + "|on"; got != want || err != nil {
			t.Errorf("after %s: %q, %v; want %q", step.name, got, err, want)
		}
		if p.URL("postgres") != url {
			t.Errorf("after %s it has another address", step.name)
		}
	}
}
