# docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html: the examples
# "GET Bucket Lifecycle" and "Get Bucket (List Objects)".
test "aws: the documented signature of a GET" {
  at = "2013-05-24T00:00:00Z"
  stand_in = {
    AWS_ACCESS_KEY_ID     = "AKIAIOSFODNN7EXAMPLE"
    AWS_SECRET_ACCESS_KEY = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
  }
  request { url = "https://examplebucket.s3.amazonaws.com/?lifecycle" }
  assert {
    condition = sent[0].header["Authorization"] == "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request, SignedHeaders=host;x-amz-content-sha256;x-amz-date, Signature=fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"
  }
  assert { condition = sent[0].header["X-Amz-Content-Sha256"] == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" && sent[0].query == "lifecycle" }
}

test "aws: the documented signature of a query" {
  at = "2013-05-24T00:00:00Z"
  stand_in = {
    AWS_ACCESS_KEY_ID     = "AKIAIOSFODNN7EXAMPLE"
    AWS_SECRET_ACCESS_KEY = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
  }
  request { url = "https://examplebucket.s3.amazonaws.com/?max-keys=2&prefix=J" }
  assert {
    condition = endswith(sent[0].header["Authorization"], "Signature=34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7")
  }
}

test "aws: what an SDK signed for is signed again" {
  request {
    method = "POST"
    url    = "https://vpce-1.dynamodb.eu-west-1.vpce.amazonaws.com/"
    header = {
      "Authorization" = "AWS4-HMAC-SHA256 Credential=DUMMY/20000101/eu-west-1/dynamodb/aws4_request, SignedHeaders=host, Signature=00"
      "X-Amz-Target"  = "DynamoDB_20120810.ListTables"
    }
    body = "{}"
  }
  assert {
    condition = startswith(sent[0].header["Authorization"], "AWS4-HMAC-SHA256 Credential=stand-in-for-env-AWS_ACCESS_KEY_ID/20000101/eu-west-1/dynamodb/aws4_request, SignedHeaders=content-length;host;x-amz-date;x-amz-target, ")
  }
}

test "aws: a presigned URL is left alone" {
  request { url = "https://examplebucket.s3.amazonaws.com/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Signature=00" }
  assert { condition = sent[0].header["Authorization"] == null && sent[0].query == "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Signature=00" }
}

test "aws: a session that has ended is an auth failure" {
  request {
    method = "POST"
    url    = "https://dynamodb.eu-west-1.amazonaws.com/"
    header = { "X-Amz-Target" = "DynamoDB_20120810.ListTables" }
    body   = "{}"
  }
  upstream {
    status = 400
    body   = "{\"__type\":\"com.amazon.coral.service#ExpiredTokenException\",\"message\":\"The security token included in the request is expired\"}"
    header = { "Content-Type" = "application/x-amz-json-1.0" }
  }
  expect {
    status   = 400
    attempts = 1
    outcome  = "auth"
  }
}
