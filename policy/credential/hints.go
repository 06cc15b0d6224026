package credential

import (
	"context"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
)

// listen returns r with a trace that masks informational responses, such as 103
// (Early Hints), before whoever asked for them gets them. A hit is not noted: the
// exchange is the goroutine's that sends.
func (e *echo) listen(r *http.Request) *http.Request {
	asked := httptrace.ContextClientTrace(r.Context())
	if len(e.forms) == 0 || asked == nil || asked.Got1xxResponse == nil {
		return r
	}
	trace := *asked
	trace.Got1xxResponse = func(code int, h textproto.MIMEHeader) error {
		e.fields(http.Header(h))
		return asked.Got1xxResponse(code, h)
	}
	return r.WithContext(&listening{r.Context(), httptrace.WithClientTrace(context.Background(), &trace)})
}

// listening is a context with another trace. Adding one to the context itself
// would call both.
type listening struct {
	context.Context
	trace context.Context
}

func (l *listening) Value(key any) any {
	if v := l.trace.Value(key); v != nil {
		return v
	}
	return l.Context.Value(key)
}
