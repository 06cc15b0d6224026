package policy

import "fmt"

// Mode says whether a stage acts or only reports what it would do.
type Mode string

// The modes.
const (
	Enforce Mode = "enforce"
	Observe Mode = "observe"
)

// UnmarshalText reads a mode.
func (m *Mode) UnmarshalText(text []byte) error {
	*m = Mode(text)
	if *m != Enforce && *m != Observe {
		return fmt.Errorf("%q is neither \"enforce\" nor \"observe\"", text)
	}
	return nil
}
