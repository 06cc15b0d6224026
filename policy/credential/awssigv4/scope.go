package awssigv4

import (
	"net/http"
	"slices"
	"strings"
)

// scope is what a signature is good for.
type scope struct{ region, service string }

// scopeOf finds the region and the service of a request: those of the policy, or
// those that the application's SDK signed for, with whatever key, or those that the
// host says.
func (b *Block) scopeOf(r *http.Request, host string) (s scope, ok bool) {
	s = scope{b.Region, b.Service}
	for _, from := range []func() scope{func() scope { return signedFor(r.Header.Get(authorization)) }, func() scope { return hostFor(host) }} {
		if s.region != "" && s.service != "" {
			break
		}
		other := from()
		if s.region == "" {
			s.region = other.region
		}
		if s.service == "" {
			s.service = other.service
		}
	}
	return s, s.region != "" && s.service != ""
}

// signedFor reads the credential scope of a signature: KEY/DATE/REGION/SERVICE/aws4_request.
func signedFor(header string) scope {
	_, rest, ok := strings.Cut(header, "Credential=")
	if !ok || !strings.HasPrefix(header, algorithm+" ") {
		return scope{}
	}
	text, _, _ := strings.Cut(rest, ",")
	parts := strings.Split(strings.TrimSpace(text), "/")
	n := len(parts)
	if n < 5 || parts[n-1] != "aws4_request" || !plain(parts[n-2]) || !plain(parts[n-3]) {
		return scope{}
	}
	return scope{parts[n-3], parts[n-2]}
}

// plain reports whether s can be the name of a region or service.
func plain(s string) bool {
	return s != "" && len(s) <= 64 && !strings.ContainsFunc(s, func(c rune) bool {
		return !('a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '-')
	})
}

// renamed are services whose endpoints have another name than the one that is
// signed (docs.aws.amazon.com/general/latest/gr/rande.html and the models of AWS's
// SDKs, signingName).
var renamed = map[string]string{
	"appsync-api": "appsync", "bedrock-agent": "bedrock", "bedrock-agent-runtime": "bedrock", "bedrock-runtime": "bedrock", "email": "ses", "s3-control": "s3",
}

// hostFor reads the name of an endpoint: SERVICE.REGION.amazonaws.com, with more in
// front; SERVICE.amazonaws.com, whose region is us-east-1; REGION.SERVICE, as
// OpenSearch has it; s3-REGION, as S3 had it.
func hostFor(host string) scope {
	host, _, _ = strings.Cut(host, ":")
	var names []string
	for _, domain := range []string{".amazonaws.com", ".amazonaws.com.cn", ".api.aws"} {
		if front, ok := strings.CutSuffix(host, domain); ok {
			names = slices.DeleteFunc(strings.Split(front, "."), func(name string) bool { return name == "dualstack" })
		}
	}
	n := len(names)
	switch {
	case n == 0:
		return scope{}
	case n > 1 && isRegion(names[n-1]):
		return named(names[n-1], names[n-2])
	case n > 1 && isRegion(names[n-2]):
		return named(names[n-2], names[n-1])
	case strings.HasPrefix(names[n-1], "s3-") && isRegion(names[n-1][3:]):
		return named(names[n-1][3:], "s3")
	case isRegion(names[n-1]):
		return scope{}
	}
	return named("us-east-1", names[n-1])
}

func named(region, service string) scope {
	service = strings.TrimSuffix(service, "-fips")
	if strings.HasPrefix(service, "s3express-") {
		service = "s3express"
	}
	if signed := renamed[service]; signed != "" {
		service = signed
	}
	if !plain(service) {
		return scope{}
	}
	return scope{region, service}
}

// isRegion reports whether s is like us-east-1 or us-gov-west-1.
func isRegion(s string) bool {
	parts := strings.Split(s, "-")
	n := len(parts)
	return n >= 3 && len(parts[0]) == 2 && parts[0] != "s3" && len(parts[n-1]) == 1 && '1' <= parts[n-1][0] && parts[n-1][0] <= '9' && plain(s)
}
