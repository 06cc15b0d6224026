package awssigv4

import (
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	lru "github.com/hashicorp/golang-lru/v2"
	"go.uber.org/goleak"

	"github.com/postern-proxy/postern/policy"
	"github.com/postern-proxy/postern/policy/credential"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// signing signs for region and service.
func signing(t testing.TB, region, service string) *Block {
	t.Helper()
	b := &Block{Region: region, Service: service, clock: credential.NewLive().Clock("p")}
	var err error
	if b.signers, err = lru.New[keyed, *v4.Signer](2); err != nil {
		t.Fatal(err)
	}
	return b
}

// tokens are the session tokens of the suite's examples that have one.
var tokens = map[string]string{
	"get-vanilla-with-session-token": "6e86291e8372ff2a2260956d9b8aae1d763fbf315fa00fa31553b73ebf194267",
	"post-sts-header-before":         "AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFqwAeMicRXmxfpSPfIeoIYRqTflfKD8YUuwthAx7mSEI/qkPpKPi/kMcGdQrmGdeehM4IC1NtBmUpp2wUE8phUZampKsburEDy0KPkyQDYwT7WZ0wq5VSXDvp75YU9HFvlRd8Tx6q6fE8YQcHNVXAkiY9q6d+xo0rKwT38xVqr7ZD0u0iPPkUL64lIZbqBAz+scqKmlzm8FDrypNC9Yjc8fPOLn9FX9KSYvKTr4rvx3iSIlTJabIQwj2ICCR/oLxBA==",
}

const unreserved = "-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

// suite is AWS's own (github.com/awslabs/aws-c-auth, tests/aws-signing-test-suite/v4,
// header-signature.txt), without what has headers that are not signed here, and
// without paths that are signed with their dots although the service is not S3.
var suite = []struct{ name, method, target, signature string }{
	{"get-relative-normalized", "GET", "/example/..", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
	{"get-relative-relative-normalized", "GET", "/example1/example2/../..", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
	{"get-slash-dot-slash-normalized", "GET", "/./", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
	{"get-slash-normalized", "GET", "//", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
	{"get-slash-pointless-dot-normalized", "GET", "/./example", "ef75d96142cf21edca26f06005da7988e4f8dc83a165a80865db7089db637ec5"},
	{"get-slashes-normalized", "GET", "//example//", "9a624bd73a37c9a373b5312afbebe7a714a789de108f0bdfe846570885f57e84"},
	{"get-unreserved", "GET", "/" + unreserved, "07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f"},
	{"get-vanilla", "GET", "/", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
	{"get-vanilla-empty-query-key", "GET", "/?Param1=value1", "a67d582fa61cc504c4bae71f336f98b97f1ea3c7a6bfe1b6e45aec72011b9aeb"},
	{"get-vanilla-query-order-encoded", "GET", "/?Param-3=Value3&Param=Value2&%E1%88%B4=Value1", "371d3713e185cc334048618a97f809c9ffe339c62934c032af5a0e595648fcac"},
	{"get-vanilla-query-order-key-case", "GET", "/?Param2=value2&Param1=value1", "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500"},
	{"get-vanilla-query-unreserved", "GET", "/?" + unreserved + "=" + unreserved, "9c3e54bfcdf0b19771a7f523ee5669cdf59bc7cc0884027167c21bb143a40197"},
	{"get-vanilla-utf8-query", "GET", "/?%E1%88%B4=bar", "2cdec8eed098649ff3a119c94853b13c643bcf08f8b0a1d91e12c9027818dd04"},
	{"get-vanilla-with-session-token", "GET", "/", "07ec1639c89043aa0e3e2de82b96708f198cceab042d4a97044c66dd9f74e7f8"},
	{"post-vanilla", "POST", "/", "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"},
	{"post-vanilla-query", "POST", "/?Param1=value1", "28038455d6de14eafc1f9222cf5aa6f1a96197d7deb8263271d420d138af7f11"},
	{"post-sts-header-before", "POST", "/", "85d96828115b5dc0cfc3bd16ad9e210dd772bbebba041836c64533a82be05ead"},
	{"post-x-www-form-urlencoded", "POST", "/", "d3875051da38690788ef43de4db0d8f280229d82040bfac253562e56c3f20e0b"},
	{"post-x-www-form-urlencoded-parameters", "POST", "/", "328d1b9eaadca9f5818ef05e8392801e091653bafec24fcab71e7344e7f51422"},
}

// TestSuite signs AWS's examples at their time with their key, as the stage does.
func TestSuite(t *testing.T) {
	for _, c := range suite {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				at := time.Date(2015, 8, 30, 12, 36, 0, 0, time.UTC)
				time.Sleep(time.Until(at))
				u, err := url.Parse("https://example.amazonaws.com" + c.target)
				if err != nil {
					t.Fatal(err)
				}
				r := &http.Request{Method: c.method, URL: u, Host: u.Host, Header: http.Header{}}
				creds := aws.Credentials{AccessKeyID: "AKIDEXAMPLE", SecretAccessKey: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"}
				creds.SessionToken = tokens[c.name]
				var src io.Reader
				if strings.Contains(c.name, "urlencoded") {
					src = strings.NewReader("Param1=value1")
					r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
					r.Header.Set(amzHash, "to be filled in")
				}
				if strings.HasSuffix(c.name, "-parameters") {
					r.Header.Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
				}
				x := &policy.Exchange{Body: policy.NewBody(src, int64(len("Param1=value1")), 1<<10)}
				before := r.URL.String()
				if err := signing(t, "us-east-1", "service").sign(r, x, creds); err != nil {
					t.Fatal(err)
				}
				if got := r.Header.Get(authorization); !strings.HasSuffix(got, "Signature="+c.signature) || !strings.HasPrefix(got, "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, SignedHeaders=") {
					t.Errorf("%s, want %s", got, c.signature)
				}
				if r.Header.Get(amzDate) != "20150830T123600Z" || r.Header.Get(amzToken) != creds.SessionToken || r.URL.String() != before {
					t.Errorf("%v %s", r.Header, r.URL)
				}
			})
		})
	}
}

// TestSuiteOfPaths signs the suite's paths that are escaped once, as those of S3 are.
func TestSuiteOfPaths(t *testing.T) {
	for _, c := range []struct{ name, path, signature string }{
		{"get-space-normalized", "/example%20space/", "652487583200325589f1fba4c7e578f72c47cb61beeca81406b39ddec1366741"},
		{"get-utf8", "/%E1%88%B4", "8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85"},
		{"get-relative-unnormalized", "/example/..", "eca7ead57bb5aa5c8e28007acd4ff04e1ff9a0ff3b237ec1554a184887ff9282"},
		{"get-slash-dot-slash-unnormalized", "/./", "68714168e6557f8f2de0ef956fc24dc2593a4bd2961f8df51898d8a134695145"},
		{"get-slashes-unnormalized", "//example//", "87cca117541a147f6df867677d98a7d80dff226d2bfca9e4ffa899665623c7e5"},
	} {
		u, err := url.Parse("https://example.amazonaws.com" + c.path)
		if err != nil {
			t.Fatal(err)
		}
		r := shadow(&http.Request{Method: "GET", URL: u, Header: http.Header{}}, u.Host, 0, true)
		creds := aws.Credentials{AccessKeyID: "AKIDEXAMPLE", SecretAccessKey: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"}
		if err := v4.NewSigner().SignHTTP(t.Context(), creds, r, ofNothing, "service", "us-east-1", time.Date(2015, 8, 30, 12, 36, 0, 0, time.UTC), pathOption("s3")); err != nil {
			t.Fatal(err)
		}
		if got := r.Header.Get(authorization); !strings.HasSuffix(got, "Signature="+c.signature) {
			t.Errorf("%s: %s, want %s", c.name, got, c.signature)
		}
	}
}

// TestScopes: where region and service come from.
func TestScopes(t *testing.T) {
	for _, c := range []struct{ region, service, header, host, want string }{
		{"eu-west-1", "s3", "AWS4-HMAC-SHA256 Credential=A/20150830/us-east-1/iam/aws4_request, SignedHeaders=host, Signature=0", "x.sqs.us-east-2.amazonaws.com", "eu-west-1 s3"},
		{"eu-west-1", "", "AWS4-HMAC-SHA256 Credential=A/20150830/us-east-1/iam/aws4_request, SignedHeaders=host, Signature=0", "", "eu-west-1 iam"},
		{"", "", "AWS4-HMAC-SHA256 Credential=dummy/key/20150830/us-east-1/execute-api/aws4_request,SignedHeaders=host,Signature=0", "api.example.com", "us-east-1 execute-api"},
		{"", "", "AWS4-HMAC-SHA256 Credential=A/20150830/US-EAST-1/iam/aws4_request, Signature=0", "", ""},
		{"", "", "AWS4-HMAC-SHA256 Credential=A/20150830/us-east-1/iam/aws4, Signature=0", "", ""},
		{"", "", "Bearer Credential=A/20150830/us-east-1/iam/aws4_request", "", ""},
		{"", "", "", "dynamodb.eu-central-1.amazonaws.com", "eu-central-1 dynamodb"},
		{"", "", "", "bucket.with.dots.s3.us-gov-west-1.amazonaws.com:443", "us-gov-west-1 s3"},
		{"", "", "", "bucket.s3.dualstack.ap-southeast-2.amazonaws.com", "ap-southeast-2 s3"},
		{"", "", "", "bucket.s3-eu-west-1.amazonaws.com", "eu-west-1 s3"},
		{"", "", "", "bucket.s3express-usw2-az1.us-west-2.amazonaws.com", "us-west-2 s3express"},
		{"", "", "", "s3.amazonaws.com", "us-east-1 s3"},
		{"", "", "", "sts.amazonaws.com", "us-east-1 sts"},
		{"", "", "", "abc123.execute-api.us-east-1.amazonaws.com", "us-east-1 execute-api"},
		{"", "", "", "search-d.us-east-1.es.amazonaws.com", "us-east-1 es"},
		{"", "", "", "bedrock-runtime.us-east-1.amazonaws.com", "us-east-1 bedrock"},
		{"", "", "", "email.us-east-1.amazonaws.com", "us-east-1 ses"},
		{"", "", "", "kms-fips.us-west-2.amazonaws.com", "us-west-2 kms"},
		{"", "", "", "lambda.us-west-2.api.aws", "us-west-2 lambda"},
		{"", "", "", "sqs.cn-north-1.amazonaws.com.cn", "cn-north-1 sqs"},
		{"", "", "", "us-east-1.amazonaws.com", ""},
		{"", "", "", "amazonaws.com", ""},
		{"", "", "", "s3.us-east-1.amazonaws.com.evil.example", ""},
		{"", "", "", "minio.example.com", ""},
		{"", "s3", "", "minio.example.com", ""},
	} {
		b := &Block{Region: c.region, Service: c.service}
		s, ok := b.scopeOf(&http.Request{Header: http.Header{authorization: {c.header}}}, c.host)
		if got := strings.TrimSpace(s.region + " " + s.service); ok != (c.want != "") || ok && got != c.want {
			t.Errorf("%+v: %q, %v", c, got, ok)
		}
	}
}

// TestLength: the length of a body is signed if it will be announced.
func TestLength(t *testing.T) {
	for _, c := range []struct {
		length  int64
		trailer http.Header
		want    bool
	}{{3, nil, true}, {-1, nil, false}, {3, http.Header{"X": nil}, false}} {
		r := &http.Request{Method: "POST", URL: &url.URL{Scheme: "https", Host: "x.example", Path: "/"}, Header: http.Header{}, Trailer: c.trailer}
		if err := signing(t, "r", "sqs").sign(r, &policy.Exchange{Body: policy.NewBody(strings.NewReader("abc"), c.length, 10)}, aws.Credentials{AccessKeyID: "A", SecretAccessKey: "B"}); err != nil {
			t.Fatal(err)
		}
		if got := strings.Contains(r.Header.Get(authorization), "content-length"); got != c.want {
			t.Errorf("%+v: %s", c, r.Header.Get(authorization))
		}
	}
}

// TestManyScopes: what an application makes up costs no memory.
func TestManyScopes(t *testing.T) {
	b := signing(t, "", "iam")
	for _, region := range []string{"a", "b", "c", "d"} {
		r := &http.Request{Method: "GET", URL: &url.URL{Scheme: "https", Host: "x.example", Path: "/"}, Header: http.Header{
			authorization: {"AWS4-HMAC-SHA256 Credential=A/20150830/" + region + "/iam/aws4_request, SignedHeaders=host, Signature=0"},
		}}
		if err := b.sign(r, &policy.Exchange{Body: policy.NewBody(nil, 0, 0)}, aws.Credentials{AccessKeyID: "A", SecretAccessKey: "B"}); err != nil {
			t.Fatal(err)
		}
	}
	if n := b.signers.Len(); n > 2 {
		t.Errorf("%d signers are kept", n)
	}
}
