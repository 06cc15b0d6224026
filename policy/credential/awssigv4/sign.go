package awssigv4

import (
	"fmt"
	"net/http"
	"net/url"
	"path"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/postern-proxy/postern/policy"
)

// Canonical names of headers.
const (
	authorization = "Authorization"
	amzDate       = "X-Amz-Date"
	amzToken      = "X-Amz-Security-Token"
	amzHash       = "X-Amz-Content-Sha256"
	amzRegions    = "X-Amz-Region-Set"
)

const (
	algorithm  = "AWS4-HMAC-SHA256"
	asymmetric = "AWS4-ECDSA-P256-SHA256"
)

// presigned reports whether the URL bears its signature already: another one beside
// it would be refused, and it is somebody's decision whom it lets in.
func presigned(r *http.Request) bool {
	q := r.URL.RawQuery
	return strings.Contains(q, "Signature=") && (len(policy.QueryValues(q, "X-Amz-Signature")) > 0 || len(policy.QueryValues(q, "AWSAccessKeyId")) > 0)
}

// sign signs one attempt with c.
func (b *Block) sign(r *http.Request, x *policy.Exchange, c aws.Credentials) error {
	if strings.HasPrefix(r.Header.Get(authorization), asymmetric) || r.Header.Get(amzRegions) != "" {
		return &policy.Denial{
			Code: policy.BadRequest, Stage: "credential", Detail: "the request is for several regions, which needs Signature Version 4A",
			Hint: "Call an endpoint of one region instead of a multi-region access point.",
		}
	}
	host := r.Host
	if host == "" {
		host = r.URL.Host
	}
	s, ok := b.scopeOf(r, host)
	if !ok {
		return &policy.Denial{
			Code: policy.BadRequest, Stage: "credential", Detail: "for which region and service the request is to be signed is not known",
			Hint: "Write region and service in credential \"aws_sigv4\", or let an SDK sign with any key: what it signs for is used.",
		}
	}
	hash, inHeader, err := payload(r, x, s.service)
	if err != nil {
		return err
	}
	set(r.Header, amzToken, "")
	if inHeader {
		policy.SetHeader(r.Header, amzHash, hash)
	}
	key := keyed{c.AccessKeyID, c.SecretAccessKey, s.region, s.service}
	signer, ok := b.signers.Get(key)
	if !ok {
		signer = v4.NewSigner()
		b.signers.Add(key, signer)
	}
	length := x.Outgoing().Len()
	if len(r.Trailer) > 0 {
		length = 0 // it will not be announced
	}
	signed := shadow(r, host, length, escapesOnce(s.service))
	if err := signer.SignHTTP(r.Context(), c, signed, hash, s.service, s.region, b.clock.Now(), pathOption(s.service)); err != nil {
		return fmt.Errorf("sign by AWS Signature Version 4: %w", err)
	}
	for _, name := range []string{authorization, amzDate, amzToken} {
		set(r.Header, name, signed.Header.Get(name))
	}
	return nil
}

// set makes value the only one of that name, or takes all away if it is empty.
func set(h http.Header, name, value string) {
	policy.SetHeader(h, name, value)
	if value == "" {
		delete(h, name)
	}
}

// shadow is what of r is signed: method, host, path, query, and of the headers those
// that the provider wants signed or that say what the body is. Others may change on
// their way.
func shadow(r *http.Request, host string, length int64, exact bool) *http.Request {
	h := make(http.Header, 8)
	for name, values := range r.Header {
		if name == "Content-Type" || name == "Content-Md5" || strings.HasPrefix(name, "X-Amz-") && name != amzDate {
			h[name] = values
		}
	}
	u := &url.URL{Scheme: r.URL.Scheme, Host: host, Path: r.URL.Path, RawPath: r.URL.RawPath, RawQuery: r.URL.RawQuery}
	if escaped := u.EscapedPath(); !exact && (strings.Contains(escaped, "//") || strings.Contains(escaped, "/.")) {
		u.Opaque = "//" + host + normal(escaped)
	}
	return &http.Request{Method: r.Method, URL: u, Host: host, Header: h, ContentLength: max(0, length)}
}

// normal is a path without empty and dot segments, as all services but S3 sign it.
func normal(escaped string) string {
	clean := path.Clean("/" + escaped)
	if clean != "/" && strings.HasSuffix(escaped, "/") {
		clean += "/"
	}
	return clean
}

var once = func(o *v4.SignerOptions) { o.DisableURIPathEscaping = true }

func pathOption(service string) func(*v4.SignerOptions) {
	if escapesOnce(service) {
		return once
	}
	return func(*v4.SignerOptions) {}
}
