package main

import (
	"log/slog"

	"github.com/postern-proxy/postern/telemetry"
)

// harden keeps secrets in the memory of a process that does nothing else than run
// the gate: no core dumps, which children inherit, and shield.
func harden() (*environ, error) {
	if err := noCores(); err != nil {
		return nil, err
	}
	return shield()
}

// shield keeps other processes of the same user, debuggers among them, out of the
// memory of this one, and out of what /proc shows of it (claim C29). Root is not
// kept out; of what agents of root collect, the environment can be concealed.
func shield() (*environ, error) {
	e := openEnviron() // while that is allowed
	return e, alone()
}

// concealFrom hides the variables that hold secrets of l. That it does not work
// somewhere leaves things as they are everywhere else.
func (e *environ) concealFrom(l *loaded, t *telemetry.Telemetry) {
	if err := e.conceal(l.Context.Variables()); err != nil {
		t.Log.Debug("the environment at start stays visible to root", slog.Any("error", err))
	}
}
