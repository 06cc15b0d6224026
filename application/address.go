package application

import (
	"errors"
	"net"
	"net/url"
	"path"
	"strings"
)

// An Address is where the application listens, and what is asked for there.
type Address struct {
	url    *url.URL // of the request; its host is localhost on a socket
	socket string   // path of a Unix domain socket, "" for TCP
}

// maxSocket is how long the path of a socket may be: sun_path of unix(7), with
// the byte that ends it.
const maxSocket = 107

// Parse reads an http or https URL, or a socket and a path on it as NGINX writes
// them: unix:/run/app.sock:/webhooks. Without a path that is /.
func Parse(text string) (*Address, error) {
	if rest, ok := strings.CutPrefix(text, "unix:"); ok {
		return parseSocket(rest)
	}
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.Fragment != "":
		return nil, errors.New(`it must be an http or https URL such as "http://127.0.0.1:3000/webhooks", or a socket such as "unix:/run/app.sock:/webhooks"`)
	case u.User != nil:
		return nil, errors.New("it must not hold a user or password")
	}
	return &Address{url: u}, nil
}

func parseSocket(rest string) (*Address, error) {
	rest = strings.TrimPrefix(rest, "//") // unix:///run/app.sock
	socket, target, _ := strings.Cut(rest, ":")
	if target == "" {
		target = "/"
	}
	u, err := url.ParseRequestURI(target)
	switch {
	case !path.IsAbs(socket) || strings.ContainsAny(socket, "?#%\x00") || len(socket) > maxSocket:
		return nil, errors.New(`a socket is an absolute path of at most 107 bytes, such as "unix:/run/app.sock:/webhooks"`)
	case err != nil || !strings.HasPrefix(target, "/") || strings.HasPrefix(target, "//") || strings.ContainsAny(target, "#"):
		return nil, errors.New(`what follows the socket must be a path, such as "unix:/run/app.sock:/webhooks"`)
	}
	u.Scheme, u.Host = "http", "localhost"
	return &Address{url: u, socket: path.Clean(socket)}, nil
}

// Secure reports whether it is called by TLS.
func (a *Address) Secure() bool { return a.url.Scheme == "https" }

// HostPort is what is dialled, "" for a socket.
func (a *Address) HostPort() string {
	switch {
	case a.socket != "":
		return ""
	case a.url.Port() != "":
		return a.url.Host
	}
	return net.JoinHostPort(a.url.Hostname(), map[bool]string{false: "80", true: "443"}[a.Secure()])
}

// Place is what is connected to: the same for all that one application answers.
func (a *Address) Place() string {
	if a.socket != "" {
		return "unix:" + a.socket
	}
	return a.HostPort()
}
