// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

// SecretSpec is the Secret for the credentials. Its type is always Opaque.
//
// +kubebuilder:validation:XValidation:rule="!has(self.formats) || size(self.formats) > 0 || (has(self.template) && has(self.template.data) && size(self.template.data) > 0)",fieldPath=".formats",message="secret.formats: [] writes nothing by itself. Name a format such as SDK, leave formats out, or set template.data"
type SecretSpec struct {
	// name is the name of the Secret, in the namespace of the StsCredential. Defaults to metadata.name.
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$')",message="secret.name must be a Secret's name: lower-case letters, digits, '-' and '.', starting and ending with a letter or digit"
	// +optional
	Name string `json:"name,omitempty"`

	// labels are set on the Secret: at most 32 with keys of up to 253 characters. Keys under kubernetes.io, k8s.io and
	// sts.alibabacloud.com are invalid, except the recommended labels under app.kubernetes.io other than managed-by.
	// +kubebuilder:validation:MaxProperties=32
	// +kubebuilder:validation:XValidation:rule="self.all(k, size(k) <= 253 && k.matches('^([a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$'))",message="secret.labels: a key must be a label key of up to 253 characters such as team or example.com/team"
	// +kubebuilder:validation:XValidation:rule="self.all(k, (k.startsWith('app.kubernetes.io/') && k != 'app.kubernetes.io/managed-by') || !k.matches('^([^/]*[.])?(kubernetes[.]io|k8s[.]io|sts[.]alibabacloud[.]com)/'))",message="secret.labels: keys under kubernetes.io, k8s.io and sts.alibabacloud.com, and app.kubernetes.io/managed-by, are reserved. Use a prefix of your own"
	// +optional
	Labels map[string]LabelValue `json:"labels,omitempty"`

	// annotations are set on the Secret: at most 32 of up to 1024 characters, 32768 bytes in all, with keys of up to 253. The
	// same keys as in labels are invalid.
	// +kubebuilder:validation:MaxProperties=32
	// +kubebuilder:validation:XValidation:rule="self.map(k, size(bytes(self[k]))).sum() <= 32768",message="secret.annotations must be at most 32768 bytes in all: shorten them"
	// +kubebuilder:validation:XValidation:rule="self.all(k, size(k) <= 253 && k.matches('^([a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$'))",message="secret.annotations: a key must be an annotation key of up to 253 characters such as team or example.com/team"
	// +kubebuilder:validation:XValidation:rule="self.all(k, (k.startsWith('app.kubernetes.io/') && k != 'app.kubernetes.io/managed-by') || !k.matches('^([^/]*[.])?(kubernetes[.]io|k8s[.]io|sts[.]alibabacloud[.]com)/'))",message="secret.annotations: keys under kubernetes.io, k8s.io and sts.alibabacloud.com, and app.kubernetes.io/managed-by, are reserved. Use a prefix of your own"
	// +optional
	Annotations map[string]AnnotationValue `json:"annotations,omitempty"`

	// formats are predefined sets of keys for the programs that read the Secret. Defaults to [SDK]. With an empty list, the
	// Secret has only the keys of template.
	// +listType=set
	// +kubebuilder:validation:MaxItems=11
	// +optional
	Formats []SecretFormat `json:"formats,omitzero"`

	// template adds custom keys.
	// +optional
	Template SecretTemplate `json:"template,omitzero"`

	// deletionPolicy is what happens to the Secret when this object is deleted. Delete deletes it; from an adopted Secret, only
	// the keys that the operator wrote are removed. Retain keeps it, and the credentials are valid until they expire. Defaults
	// to Delete.
	// +optional
	DeletionPolicy DeletionPolicy `json:"deletionPolicy,omitempty"`
}

// SecretFormat is a predefined set of keys:
//
//   - SDK: ALIBABA_CLOUD_ACCESS_KEY_ID, ALIBABA_CLOUD_ACCESS_KEY_SECRET, ALIBABA_CLOUD_SECURITY_TOKEN
//   - Tablestore: TABLESTORE_ACCESS_KEY_ID, TABLESTORE_ACCESS_KEY_SECRET, TABLESTORE_SESSION_TOKEN
//   - OSS: OSS_ACCESS_KEY_ID, OSS_ACCESS_KEY_SECRET, OSS_SESSION_TOKEN
//   - Terraform: ALICLOUD_ACCESS_KEY, ALICLOUD_SECRET_KEY, ALICLOUD_SECURITY_TOKEN
//   - LogService: ALIYUN_LOG_CLI_ACCESSID, ALIYUN_LOG_CLI_ACCESSKEY, ALIYUN_LOG_CLI_STS_TOKEN
//   - Plain: accessKeyId, accessKeySecret, securityToken, expiration
//   - STS: AccessKeyId, AccessKeySecret, SecurityToken, Expiration, as in an answer of AssumeRole
//   - CLI: config.json for the aliyun CLI, with the operator's region
//   - INI: credentials, a profile file with type = sts_token
//   - External: external.json, the output of the process_command of an External profile
//   - URI: credentials.json, the answer that SDKs expect from ALIBABA_CLOUD_CREDENTIALS_URI, for stscred-agent
//
// +kubebuilder:validation:Enum=SDK;Tablestore;OSS;Terraform;LogService;Plain;STS;CLI;INI;External;URI
type SecretFormat string

// The formats.
const (
	FormatSDK        SecretFormat = "SDK"
	FormatTablestore SecretFormat = "Tablestore"
	FormatOSS        SecretFormat = "OSS"
	FormatTerraform  SecretFormat = "Terraform"
	FormatLogService SecretFormat = "LogService"
	FormatPlain      SecretFormat = "Plain"
	FormatSTS        SecretFormat = "STS"
	FormatCLI        SecretFormat = "CLI"
	FormatINI        SecretFormat = "INI"
	FormatExternal   SecretFormat = "External"
	FormatURI        SecretFormat = "URI"
)

// SecretTemplate adds custom keys to the Secret.
type SecretTemplate struct {
	// data maps keys of the Secret, at most 32 of up to 253 characters, to Go templates of at most 8192 bytes in all. A
	// template is text with fields, such as "{{ .AccessKeyID }}" or "{{ .SecurityToken | toJson }}". The fields are
	// .AccessKeyID, .AccessKeySecret, .SecurityToken, .Expiration (RFC 3339, UTC), .RoleARN and .Region (the operator's);
	// the functions, up to four after a field, are b64enc, toJson, quote and urlquery. An existing
	// key of the same name is overwritten.
	// +kubebuilder:validation:MaxProperties=32
	// +kubebuilder:validation:XValidation:rule="self.all(k, size(k) <= 253 && k.matches('^[-._A-Za-z0-9]+$') && k != '.' && !k.startsWith('..'))",message="secret.template.data: a key must be a key of a Secret: up to 253 letters, digits, '-', '_' and '.', not '.' alone and not starting with '..'"
	// +kubebuilder:validation:XValidation:rule="self.map(k, size(bytes(self[k]))).sum() <= 8192",message="secret.template.data must be at most 8192 bytes in all: shorten the templates, or put what never changes into a ConfigMap"
	// +optional
	Data map[string]TemplateText `json:"data,omitempty"`
}

// TemplateText is a Go template of at most 8192 characters.
//
// +kubebuilder:validation:MaxLength=8192
type TemplateText string

// DeletionPolicy is what happens to a Secret when its StsCredential is deleted.
//
// +kubebuilder:validation:Enum=Delete;Retain
type DeletionPolicy string

const (
	// DeletionPolicyDelete deletes the Secret, or removes the operator's keys from an adopted one. The default.
	DeletionPolicyDelete DeletionPolicy = "Delete"
	// DeletionPolicyRetain keeps the Secret unchanged.
	DeletionPolicyRetain DeletionPolicy = "Retain"
)

// LabelValue is the value of a Kubernetes label: at most 63 characters.
//
// +kubebuilder:validation:MaxLength=63
// +kubebuilder:validation:XValidation:rule="self.matches('^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$')",message="a label's value must be letters, digits, '-', '_' and '.', starting and ending with a letter or digit"
type LabelValue string

// AnnotationValue is the value of an annotation: at most 1024 characters.
//
// +kubebuilder:validation:MaxLength=1024
type AnnotationValue string
