package credential

import (
	"context"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
)

// listen returns r with a trace that masks informational responses, such as 103
// (Early Hints), before whoever asked for them gets them. A hit is told and not
// noted: the exchange is the goroutine's that sends.
func (m *masked) listen(r *http.Request) *http.Request {
	if m == nil {
		return r
	}
	asked := httptrace.ContextClientTrace(r.Context())
	if asked == nil || asked.Got1xxResponse == nil {
		return r
	}
	m.trace = *asked
	m.trace.Got1xxResponse = func(code int, h textproto.MIMEHeader) error {
		if m.echo.fields(http.Header(h)) {
			m.alarm(true)
		}
		return asked.Got1xxResponse(code, h)
	}
	m.ctx = listening{r.Context(), httptrace.WithClientTrace(context.Background(), &m.trace)}
	return r.WithContext(&m.ctx)
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
