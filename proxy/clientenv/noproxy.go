package clientenv

import (
	"slices"
	"strings"
	"unicode"
)

// noProxy lists the hosts that no application should reach through Postern: the machine itself, the cluster, the
// metadata services and Postern. Only exact hosts and suffixes with a leading dot mean the same to all clients;
// CIDR ranges and asterisks do not.
func (o Options) noProxy() []string {
	list := []string{
		"localhost", "127.0.0.1", "::1", ".svc", ".cluster.local", ".internal",
		"169.254.169.254", "metadata.google.internal",
	}
	for _, host := range append([]string{lookup(o.Environ, "KUBERNETES_SERVICE_HOST"), o.Proxy.Hostname()}, o.NoProxy...) {
		list = appendNew(list, splitNoProxy(host))
	}
	return list
}

// joinNoProxy puts what is set first, so that a second time gives the same.
func joinNoProxy(environ, ours []string) string {
	var list []string
	for _, name := range []string{"NO_PROXY", "no_proxy"} {
		list = appendNew(list, splitNoProxy(lookup(environ, name)))
	}
	return strings.Join(appendNew(list, ours), ",")
}

func withoutNoProxy(value string, ours []string) string {
	return strings.Join(slices.DeleteFunc(splitNoProxy(value), func(entry string) bool { return has(ours, entry) }), ",")
}

func splitNoProxy(value string) []string {
	return strings.FieldsFunc(value, func(r rune) bool { return r == ',' || unicode.IsSpace(r) })
}

func appendNew(list, more []string) []string {
	for _, entry := range more {
		if !has(list, entry) {
			list = append(list, entry)
		}
	}
	return list
}

func has(list []string, entry string) bool {
	return slices.ContainsFunc(list, func(e string) bool { return strings.EqualFold(e, entry) })
}
