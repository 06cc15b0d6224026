package schema

import (
	"errors"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// A judge compares one text at a time.
type judge struct {
	fits  *jsonschema.Schema // the schema within a "not": it stops at the first misfit, and keeps none
	tells *jsonschema.Schema // the schema itself, which says what does not fit
	left  int                // steps that may be made yet
}

var errSteps = errors.New("too many steps")

// wrapped is where the schema stands within a "not".
const wrapped = "postern:fits"

func newJudge(at string, f *folder, formats bool) (*judge, error) {
	j := &judge{}
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	c.UseLoader(f)
	if formats {
		c.AssertFormat()
	}
	c.RegisterVocabulary(&jsonschema.Vocabulary{
		URL: "postern:steps",
		Compile: func(*jsonschema.CompilerContext, map[string]any) (jsonschema.SchemaExt, error) {
			return step{j}, nil
		},
	})
	c.AssertVocabs()
	if err := c.AddResource(wrapped, map[string]any{"not": map[string]any{"$ref": at}}); err != nil {
		return nil, err
	}
	var err error
	if j.tells, err = c.Compile(at); err != nil {
		return nil, err
	}
	j.fits, err = c.Compile(wrapped)
	return j, err
}

// step counts the comparisons of an object of the schema with a value. A schema
// that refers to itself in several ways can ask for more than there is time for.
type step struct{ *judge }

// Validate implements [jsonschema.SchemaExt].
func (s step) Validate(*jsonschema.ValidatorContext, any) {
	if s.left--; s.left < 0 {
		panic(errSteps)
	}
}

// Judge says what of body does not fit; nil if it does.
func (s *Schema) Judge(body []byte) (found *Misfit) {
	j := <-s.idle
	defer func() { s.idle <- j }()
	if j == nil {
		var err error
		if j, err = s.make(); err != nil { // it was made before of the same text
			return s.misfit(place{kind: "no schema"})
		}
	}
	sv := look(body)
	if sv.kind != "" {
		return s.misfit(place{kind: sv.kind})
	}
	defer func() {
		if recover() != nil {
			found = s.misfit(place{kind: kindComplex})
		}
	}()
	v, twice := build(body, &sv)
	if twice != nil {
		return s.misfit(doubles(twice)...)
	}
	j.left = 1<<16 + 8*sv.values
	if j.fits.Validate(v) != nil {
		return nil
	}
	if sv.cost+costTell*sv.values > limit(body) {
		return s.misfit(place{kind: kindLarge})
	}
	var bad *jsonschema.ValidationError
	if !errors.As(j.tells.Validate(v), &bad) {
		return nil
	}
	return s.misfit(places(bad)...)
}
