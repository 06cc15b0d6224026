package limit_test

import (
	"testing"

	"github.com/postern-proxy/postern/policy/limit"
	"github.com/postern-proxy/postern/policy/limit/limittest"
)

func TestLocal(t *testing.T) {
	limittest.Run(t, func(t *testing.T) limit.Source {
		l, err := limit.NewLocal(func() int { return 1 })
		if err != nil {
			t.Fatal(err)
		}
		return l
	})
}
