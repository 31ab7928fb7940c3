// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package formats

import (
	"crypto/hmac"
	"crypto/md5"  //nolint:gosec // Tablestore's checksum
	"crypto/sha1" //nolint:gosec // the older signatures are HMAC-SHA1
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	openapi "github.com/alibabacloud-go/darabonba-openapi/v2/client"
	openapiutil "github.com/alibabacloud-go/darabonba-openapi/v2/utils"
	"github.com/alibabacloud-go/tea/dara"
	"github.com/alibabacloud-go/tea/tea"
	"github.com/aliyun/alibabacloud-oss-go-sdk-v2/oss"
	osscredentials "github.com/aliyun/alibabacloud-oss-go-sdk-v2/oss/credentials"
	"github.com/aliyun/aliyun-tablestore-go-sdk/tablestore"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
	"github.com/stscredential/sts-credential-operator/internal/credentials"
	"github.com/stscredential/sts-credential-operator/test/stsemulator"
)

// The signatures of the services, calculated from their documentation and not by an SDK:
//   - OSS: https://www.alibabacloud.com/help/en/oss/developer-reference/include-signatures-in-the-authorization-header (V1)
//     and https://www.alibabacloud.com/help/en/oss/developer-reference/recommend-to-use-signature-version-4 (V4).
//   - Tablestore: the header x-ots-signature, which the reference of its API calls the digest of the request.
//   - OpenAPI: ACS3-HMAC-SHA256, which the emulated STS verifies as well.

var errSignature = errors.New("the signature is not that of the AccessKey secret")

// wire is how a service is called: where a request has its AccessKey ID and its token, and how it is signed.
type wire struct {
	// tokenHeader is the header with the security token.
	tokenHeader string
	// keyID returns the AccessKey ID that a request names.
	keyID func(*http.Request) string
	// verify fails unless secret signed the request with the token.
	verify func(r *http.Request, body []byte, secret string) error
	// answer writes the result of the call, signed if the service signs its responses.
	answer func(w http.ResponseWriter, r *http.Request, keyID, secret string)
	// refuse writes an error.
	refuse func(w http.ResponseWriter, cause error)
}

// Wire formats of the services.
var (
	ossWire = wire{
		tokenHeader: "x-oss-security-token", keyID: ossKeyID, verify: verifyOSS, answer: answerBuckets,
		refuse: func(w http.ResponseWriter, cause error) {
			w.Header().Set("Content-Type", "application/xml")
			w.WriteHeader(http.StatusForbidden)
			_, _ = fmt.Fprintf(w, "<Error><Code>SignatureDoesNotMatch</Code><Message>%s</Message><RequestId>1</RequestId></Error>", cause)
		},
	}
	tablestoreWire = wire{
		tokenHeader: "x-ots-ststoken", verify: verifyTablestore, answer: answerTables,
		keyID: func(r *http.Request) string { return r.Header.Get("x-ots-accesskeyid") },
		refuse: func(w http.ResponseWriter, cause error) {
			writeTablestore(w, http.StatusForbidden, "", "", slices.Concat(protobufText(1, "OTSAuthFailed"), protobufText(2, cause.Error())))
		},
	}
	openAPIWire = wire{
		tokenHeader: "x-acs-security-token", keyID: openAPIKeyID, verify: verifyOpenAPI,
		answer: func(w http.ResponseWriter, _ *http.Request, _, _ string) {
			w.Header().Set("Content-Type", "application/json")
			_, _ = fmt.Fprint(w, `{"RequestId": "1", "ResultCode": "OK", "QueryVhostResult": {"Success": true, "Data": "h5.example.com"}}`)
		},
		refuse: func(w http.ResponseWriter, cause error) {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusForbidden)
			_, _ = fmt.Fprintf(w, `{"Code": "SignatureDoesNotMatch", "Message": %q, "RequestId": "1"}`, cause)
		},
	}
)

func macOf(algorithm func() hash.Hash, key []byte, text string) []byte {
	mac := hmac.New(algorithm, key)
	_, _ = mac.Write([]byte(text))
	return mac.Sum(nil)
}

func sha1Base64(secret, text string) string {
	return base64.StdEncoding.EncodeToString(macOf(sha1.New, []byte(secret), text))
}

// sortedHeaders has a line for each header that is chosen, with names in lower case.
func sortedHeaders(header http.Header, chosen func(name string) bool) string {
	var lines []string
	for name, values := range header {
		if name = strings.ToLower(name); chosen(name) {
			lines = append(lines, name+":"+strings.TrimSpace(strings.Join(values, ","))+"\n")
		}
	}
	// By name alone: a colon sorts behind "-", so that x-oss-a would come after x-oss-a-b.
	slices.SortFunc(lines, func(a, b string) int {
		nameA, _, _ := strings.Cut(a, ":")
		nameB, _, _ := strings.Cut(b, ":")
		return strings.Compare(nameA, nameB)
	})
	return strings.Join(lines, "")
}

// ossCredential has the parts of an Authorization header of either version.
type ossCredential struct {
	keyID, scope, additional, signature string
	v4                                  bool
}

func readOSSCredential(r *http.Request) (c ossCredential, err error) {
	version, fields, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	switch version {
	case "OSS":
		c.keyID, c.signature, _ = strings.Cut(fields, ":")
	case "OSS4-HMAC-SHA256":
		c.v4 = true
		for field := range strings.SplitSeq(fields, ",") {
			name, value, _ := strings.Cut(strings.TrimSpace(field), "=")
			switch name {
			case "Credential":
				c.keyID, c.scope, _ = strings.Cut(value, "/")
			case "AdditionalHeaders":
				c.additional = value
			case "Signature":
				c.signature = value
			}
		}
	default:
		err = fmt.Errorf("unknown version of the signature: %q", version)
	}
	return c, err
}

func ossKeyID(r *http.Request) string {
	c, _ := readOSSCredential(r)
	return c.keyID
}

// verifyOSS verifies a signature of version 1 or 4. The bucket, if there is one, stands in the path.
func verifyOSS(r *http.Request, _ []byte, secret string) error {
	c, err := readOSSCredential(r)
	if err != nil {
		return err
	}
	want := signOSS1(r, secret)
	if c.v4 {
		if want, err = signOSS4(r, c, secret); err != nil {
			return err
		}
	}
	if !hmac.Equal([]byte(c.signature), []byte(want)) {
		return errSignature
	}
	return nil
}

// ossSubresources are the parameters that version 1 signs, as far as programs of the tests send them.
var ossSubresources = []string{
	"acl", "location", "bucketInfo", "uploads", "uploadId", "partNumber", "security-token", "symlink", "tagging", "versionId",
}

func signOSS1(r *http.Request, secret string) string {
	var parameters []string
	for name, values := range r.URL.Query() {
		if slices.Contains(ossSubresources, name) || strings.HasPrefix(name, "x-oss-") {
			parameters = append(parameters, strings.TrimSuffix(name+"="+values[0], "="))
		}
	}
	slices.Sort(parameters)
	resource := r.URL.Path
	if len(parameters) > 0 {
		resource += "?" + strings.Join(parameters, "&")
	}
	headers := sortedHeaders(r.Header, func(name string) bool { return strings.HasPrefix(name, "x-oss-") })
	text := strings.Join([]string{
		r.Method, r.Header.Get("Content-MD5"), r.Header.Get("Content-Type"), r.Header.Get("Date"), headers + resource,
	}, "\n")
	return sha1Base64(secret, text)
}

func signOSS4(r *http.Request, c ossCredential, secret string) (string, error) {
	scope := strings.Split(c.scope, "/")
	if len(scope) != 4 || scope[2] != "oss" || scope[3] != "aliyun_v4_request" {
		return "", fmt.Errorf("the scope %q is not <date>/<region>/oss/aliyun_v4_request", c.scope)
	}
	additional := strings.Split(c.additional, ";")
	headers := sortedHeaders(r.Header, func(name string) bool {
		return strings.HasPrefix(name, "x-oss-") || name == "content-type" || name == "content-md5" || slices.Contains(additional, name)
	})
	if slices.Contains(additional, "host") { // net/http takes it out of the headers
		headers = sortedHeaders(http.Header{"host": {r.Host}}, func(string) bool { return true }) + headers
	}
	var parameters []string
	for parameter := range strings.SplitSeq(strings.ReplaceAll(r.URL.RawQuery, "+", "%20"), "&") {
		parameters = append(parameters, strings.TrimSuffix(parameter, "="))
	}
	slices.Sort(parameters)
	canonical := strings.Join([]string{
		r.Method, ossPath(r.URL), strings.Join(parameters, "&"), headers, c.additional, r.Header.Get("x-oss-content-sha256"),
	}, "\n")
	sum := sha256.Sum256([]byte(canonical))
	text := strings.Join([]string{"OSS4-HMAC-SHA256", r.Header.Get("x-oss-date"), c.scope, hex.EncodeToString(sum[:])}, "\n")
	key := []byte("aliyun_v4" + secret)
	for _, part := range scope {
		key = macOf(sha256.New, key, part)
	}
	return hex.EncodeToString(macOf(sha256.New, key, text)), nil
}

// ossPath is a path with everything but unreserved characters and slashes escaped.
func ossPath(address *url.URL) string {
	escaped := url.QueryEscape(address.Path)
	return strings.NewReplacer("+", "%20", "%2F", "/").Replace(escaped)
}

func answerBuckets(w http.ResponseWriter, _ *http.Request, _, _ string) {
	w.Header().Set("Content-Type", "application/xml")
	w.Header().Set("x-oss-request-id", "1")
	_, _ = fmt.Fprint(w, `<?xml version="1.0" encoding="UTF-8"?><ListAllMyBucketsResult><Owner><ID>1</ID><DisplayName>1</DisplayName></Owner>`+
		`<Buckets><Bucket><Name>orders</Name><Location>oss-cn-hangzhou</Location><CreationDate>2026-01-01T00:00:00.000Z</CreationDate>`+
		`<StorageClass>Standard</StorageClass><Region>cn-hangzhou</Region>`+
		`<ExtranetEndpoint>oss.example.com</ExtranetEndpoint><IntranetEndpoint>oss.example.com</IntranetEndpoint></Bucket></Buckets></ListAllMyBucketsResult>`)
}

// verifyTablestore verifies the signature over the path and the x-ots headers, one of which is the checksum of the body.
func verifyTablestore(r *http.Request, body []byte, secret string) error {
	if got := r.Header.Get("x-ots-contentmd5"); got != contentMD5(body) {
		return fmt.Errorf("x-ots-contentmd5 is %q, which is not the checksum of the body", got)
	}
	headers := sortedHeaders(r.Header, func(name string) bool { return strings.HasPrefix(name, "x-ots-") && name != "x-ots-signature" })
	text := strings.Join([]string{r.URL.Path, r.Method, r.URL.RawQuery, headers}, "\n")
	if !hmac.Equal([]byte(r.Header.Get("x-ots-signature")), []byte(sha1Base64(secret, text))) {
		return errSignature
	}
	return nil
}

func contentMD5(body []byte) string {
	sum := md5.Sum(body) //nolint:gosec // Tablestore's checksum
	return base64.StdEncoding.EncodeToString(sum[:])
}

// answerTables is the result of ListTable: one table, orders. SDKs verify the signature of the response.
func answerTables(w http.ResponseWriter, r *http.Request, keyID, secret string) {
	header := w.Header()
	body := protobufText(1, "orders")
	setTablestoreHeaders(header, body)
	headers := sortedHeaders(header, func(name string) bool { return strings.HasPrefix(name, "x-ots-") })
	writeTablestore(w, http.StatusOK, keyID, sha1Base64(secret, headers+r.URL.Path), body)
}

func setTablestoreHeaders(header http.Header, body []byte) {
	header.Set("x-ots-contentmd5", contentMD5(body))
	header.Set("x-ots-contenttype", "protocol buffer")
	header.Set("x-ots-date", time.Now().UTC().Format("2006-01-02T15:04:05.000Z"))
	header.Set("x-ots-requestid", "1")
}

// writeTablestore writes a response, which is signed if there is a signature.
func writeTablestore(w http.ResponseWriter, status int, keyID, signature string, body []byte) {
	if signature == "" {
		setTablestoreHeaders(w.Header(), body)
	} else {
		w.Header().Set("Authorization", "OTS "+keyID+":"+signature)
	}
	w.WriteHeader(status)
	_, _ = w.Write(body)
}

// protobufText is a field with a text of less than 128 bytes in the encoding of protocol buffers.
func protobufText(field byte, text string) []byte {
	return append([]byte{field<<3 | 2, byte(len(text))}, text...)
}

func openAPIKeyID(r *http.Request) string {
	_, credential, _ := strings.Cut(r.Header.Get("Authorization"), "Credential=")
	keyID, _, _ := strings.Cut(credential, ",")
	return keyID
}

func verifyOpenAPI(r *http.Request, body []byte, secret string) error {
	if !stsemulator.VerifyACS3(r, body, secret) {
		return errSignature
	}
	return nil
}

// The stand-ins refuse a request with another secret, without the token, and with another token, in all versions.
func TestWrongCredentialsAreRefused(t *testing.T) {
	env := newEnvironment(t, v1alpha1.FormatSDK)
	ossService, tableService := newVerifyingService(env, ossWire), newVerifyingService(env, tablestoreWire)
	openAPIService := newVerifyingService(env, openAPIWire)
	calls := map[string]func(credentials.Credentials) error{
		"OSS V1": func(c credentials.Credentials) error {
			return listBuckets(t, ossService.URL, oss.SignatureVersionV1, c)
		},
		"OSS V4": func(c credentials.Credentials) error {
			return listBuckets(t, ossService.URL, oss.SignatureVersionV4, c)
		},
		"Tablestore": func(c credentials.Credentials) error {
			_, err := tablestore.NewClientWithConfig(tableService.URL, "orders", c.AccessKeyID, c.AccessKeySecret, c.SecurityToken, nil).ListTable()
			return err
		},
		"OpenAPI": func(c credentials.Credentials) error {
			client, err := openapi.NewClient(&openapiutil.Config{
				AccessKeyId: &c.AccessKeyID, AccessKeySecret: &c.AccessKeySecret, SecurityToken: &c.SecurityToken,
				Protocol: tea.String("http"), Endpoint: tea.String(strings.TrimPrefix(openAPIService.URL, "http://")),
			})
			env.must(err)
			query := map[string]*string{"AppId": tea.String("a b*~")}
			_, err = client.CallApi(queryVhost, &openapiutil.OpenApiRequest{Query: query}, &dara.RuntimeOptions{})
			return err
		},
	}
	other := env.session
	env.renew()
	for name, call := range calls {
		if err := call(env.session); err != nil {
			t.Errorf("%s: the Secret's credentials are refused: %v", name, err)
		}
		for flaw, change := range map[string]func(*credentials.Credentials){
			"another secret": func(c *credentials.Credentials) { c.AccessKeySecret = other.AccessKeySecret },
			"no token":       func(c *credentials.Credentials) { c.SecurityToken = "" },
			"another token":  func(c *credentials.Credentials) { c.SecurityToken = other.SecurityToken },
			"a made-up one":  func(c *credentials.Credentials) { c.SecurityToken = "made-up" },
		} {
			wrong := env.session
			change(&wrong)
			if err := call(wrong); err == nil {
				t.Errorf("%s: %s is accepted", name, flaw)
			}
		}
	}
}

// queryVhost is an operation of mPaaS, which is an OpenAPI service like any other.
var queryVhost = &openapiutil.Params{
	Action: tea.String("QueryMcubeVhost"), Version: tea.String("2020-10-28"), Protocol: tea.String("HTTP"), Pathname: tea.String("/"),
	Method: tea.String("POST"), AuthType: tea.String("AK"), Style: tea.String("RPC"),
	ReqBodyType: tea.String("formData"), BodyType: tea.String("json"),
}

func listBuckets(t *testing.T, url string, version oss.SignatureVersionType, c credentials.Credentials) error {
	t.Helper()
	provider := osscredentials.NewStaticCredentialsProvider(c.AccessKeyID, c.AccessKeySecret, c.SecurityToken)
	config := oss.LoadDefaultConfig().WithRegion("cn-hangzhou").WithEndpoint(url).WithUsePathStyle(true).WithSignatureVersion(version).
		WithRetryMaxAttempts(1).WithCredentialsProvider(provider)
	_, err := oss.NewClient(config).ListBuckets(t.Context(), &oss.ListBucketsRequest{Prefix: oss.Ptr("a b*~")})
	return err
}
