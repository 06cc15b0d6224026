package awssigv4

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"strings"

	"github.com/postern-proxy/postern/policy"
)

// What x-amz-content-sha256 may say instead of a hash
// (docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html).
const (
	unsigned        = "UNSIGNED-PAYLOAD"
	unsignedTrailer = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
	streaming       = "STREAMING-" // signed piece by piece
)

// ofNothing is the hash of an empty body.
const ofNothing = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

// payload is what is signed of the body, and whether it stands in a header. The
// application says by x-amz-content-sha256 if the body is not to be signed. A body
// that is longer than the buffer is signed with the hash that the application
// gives, or by S3's unsigned form.
func payload(r *http.Request, x *policy.Exchange, service string) (hash string, inHeader bool, err error) {
	given := r.Header.Get(amzHash)
	switch {
	case given == unsigned, given == unsignedTrailer:
		return given, true, nil
	case strings.HasPrefix(given, streaming):
		return "", false, &policy.Denial{
			Code: policy.BadRequest, Stage: "credential", Detail: "the pieces of the body are signed with the application's own key (" + given + "), and cannot be signed again while they stream",
			Hint: "Let the SDK call https, for which it does not sign pieces, or set chunkedEncodingEnabled(false) in Java, or payload_signing_enabled = false in ~/.aws/config.",
		}
	}
	inHeader = given != "" || escapesOnce(service)
	if x.Outgoing().Len() == 0 {
		return ofNothing, inHeader, nil
	}
	body, err := x.Outgoing().Bytes()
	switch {
	case err == nil:
		sum := sha256.Sum256(body)
		return hex.EncodeToString(sum[:]), inHeader, nil
	case !errors.Is(err, policy.ErrTooLarge):
		return "", false, err
	case isHash(given):
		return given, true, nil
	case escapesOnce(service) && r.URL.Scheme == "https":
		return unsigned, true, nil
	}
	return "", false, &policy.Denial{
		Code: policy.BodyTooLarge, Stage: "credential", Detail: "AWS wants the body signed, and the body is longer than retry.buffer",
		Hint: "Send its hash in x-amz-content-sha256, or a shorter body, or raise retry.buffer of this provider.", Err: err,
	}
}

func isHash(s string) bool {
	_, err := hex.DecodeString(s)
	return err == nil && len(s) == 2*sha256.Size
}

// escapesOnce reports whether a service is S3 or like it: the path is signed with
// its escapes as they are and with all its dots and slashes, not escaped again, and
// the hash of the body stands in a header.
func escapesOnce(service string) bool {
	return service == "s3" || service == "s3express" || service == "s3-outposts" || service == "s3-object-lambda"
}
