// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package scan

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/cli-runtime/pkg/printers"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
)

// todoRole stands for the ARN of the role, which only the user knows. The API server refuses it.
const todoRole = "acs:ram::TODO:role/TODO"

// credential is an StsCredential that replaces an AccessKey in a namespace.
type credential struct {
	namespace, name string
	lastFour        string
	formats         []v1alpha1.SecretFormat
	template        map[string]string
	restart         bool // a container reads it through variables or subPath
}

// keys requests three values for an AccessKey with these names. It returns the names with that of the token, and the keys in the
// Secret: the names, or those of SDKs if a name of a variable is not valid as a key.
func (c *credential) keys(id, secret string) (named, keys names) {
	if f, known := formatOf(id, secret); known {
		c.addFormat(f.name)
		return f.names, f.names
	}
	named = names{id, secret, tokenName(id)}
	for _, name := range named {
		if len(validation.IsConfigMapKey(name)) > 0 {
			c.addFormat(v1alpha1.FormatSDK)
			return named, formats[0].names
		}
	}
	c.template[named[nameOfID]], c.template[named[nameOfSecret]], c.template[named[nameOfToken]] = "{{ .AccessKeyID }}", "{{ .AccessKeySecret }}", "{{ .SecurityToken }}"
	return named, named
}

func (c *credential) addFormat(f v1alpha1.SecretFormat) {
	if !slices.Contains(c.formats, f) {
		c.formats = append(c.formats, f)
	}
}

// generator makes the files.
type generator struct {
	*Scan
	credentials map[string]*credential // by namespace and fingerprint
	order       []*credential
	manual      []string // what is to be done by hand
	patches     []patch
}

// Generate returns files, by path, that replace the AccessKeys which workloads read by Secrets of the operator.
func (s *Scan) Generate() map[string][]byte {
	g := &generator{Scan: s, credentials: map[string]*credential{}}
	for _, w := range s.affected {
		if s.operators[w.object] {
			g.byHand(w.object, "it is the operator, whose identity this AccessKey is. Use a ServiceAccount of the cluster instead (RRSA)")
			continue
		}
		g.addWorkload(w)
	}
	files := map[string][]byte{}
	for _, c := range g.order {
		files[c.path()] = c.manifest()
		files[c.grantPath()] = c.grant()
	}
	for _, p := range g.patches {
		maps.Copy(files, p.files())
	}
	files["README.md"] = g.readme()
	return files
}

// byHand records what is to be done by hand.
func (g *generator) byHand(object Object, what string) {
	g.manual = append(g.manual, fmt.Sprintf("%s in namespace %s: %s.", object, object.Namespace, what))
}

// credentialFor returns the StsCredential for an AccessKey. Its name is derived from the object that holds the key.
func (g *generator) credentialFor(namespace string, key value) *credential {
	index := namespace + "/" + string(key.id[:])
	if c := g.credentials[index]; c != nil {
		return c
	}
	holder := bounded(g.holderOf(namespace, key), maxObjectName-len("-sts-10000"))
	name := holder + "-sts"
	for n := 2; slices.ContainsFunc(g.order, func(c *credential) bool { return c.namespace == namespace && c.name == name }); n++ {
		name = fmt.Sprintf("%s-sts-%d", holder, n)
	}
	c := &credential{namespace: namespace, name: name, lastFour: key.lastFour, template: map[string]string{}}
	g.credentials[index] = c
	g.order = append(g.order, c)
	return c
}

// holderOf returns the Secret or ConfigMap that holds an AccessKey; otherwise the object in which it was found.
func (g *generator) holderOf(namespace string, key value) string {
	for _, kind := range []string{"Secret", "ConfigMap"} {
		for _, f := range g.findings {
			if f.id == key.id && f.key != "" && f.Object.Kind == kind && f.Object.Namespace == namespace {
				return f.Object.Name
			}
		}
	}
	return key.holder
}

const (
	// maxObjectName is the length of the longest name of an object
	// (https://kubernetes.io/docs/concepts/overview/working-with-objects/names/#dns-subdomain-names).
	maxObjectName = 253
	// maxFileName is the length of the longest file name of common file systems.
	maxFileName = 255
	// hashLength is the number of bytes of a hash in a shortened name.
	hashLength = 8
)

// bounded returns a name that is shorter than a limit as it is. It shortens others to the limit, so that both are never the same,
// and ends them with a hash. An x is before the hash, since a name must not have a hyphen after a dot.
func bounded(name string, limit int) string {
	if len(name) < limit {
		return name
	}
	sum := sha256.Sum256([]byte(name))
	end := "x" + hex.EncodeToString(sum[:hashLength])
	return name[:limit-len(end)] + end
}

// fileName returns the name of a file in the folder of its namespace.
func fileName(namespace, base, extension string) string {
	return namespace + "/" + bounded(base, maxFileName-len(extension)) + extension
}

func (c *credential) path() string { return fileName(c.namespace, "stscredential-"+c.name, ".yaml") }

func (c *credential) grantPath() string {
	return fileName(c.namespace, "stsrolegrant-"+c.name, ".yaml")
}

// grantName returns a name for the StsRoleGrant. It is unique in the cluster, since a namespace has no dot.
func (c *credential) grantName() string { return bounded(c.namespace+"."+c.name, maxObjectName) }

// manifest returns the StsCredential.
func (c *credential) manifest() []byte {
	secret := map[string]any{}
	if len(c.template) > 0 {
		secret["formats"] = append([]v1alpha1.SecretFormat{}, c.formats...)
		secret["template"] = map[string]any{"data": c.template}
	} else if !slices.Equal(c.formats, []v1alpha1.SecretFormat{v1alpha1.FormatSDK}) {
		secret["formats"] = c.formats
	}
	spec := map[string]any{"roleARN": todoRole}
	if len(secret) > 0 {
		spec["secret"] = secret
	}
	head := "# Replaces the AccessKey whose ID ends with " + c.lastFour + ".\n" +
		"# TODO: set roleARN to the role that has the permissions of its RAM user.\n"
	if c.restart {
		head += "# rollout restarts the pods that read the Secret through variables or subPath. The operator needs --rollouts for it.\n"
		spec["rollout"] = map[string]any{"mode": v1alpha1.RolloutAuto}
	}
	return document(head, map[string]any{
		"apiVersion": v1alpha1.GroupVersion.String(), "kind": "StsCredential",
		"metadata": map[string]any{"namespace": c.namespace, "name": c.name}, "spec": spec,
	})
}

// grant returns the StsRoleGrant.
func (c *credential) grant() []byte {
	head := "# Lets namespace " + c.namespace + " assume the role of StsCredential " + c.name + ". A cluster admin applies it.\n" +
		"# TODO: set the same role as in the StsCredential.\n"
	return document(head, map[string]any{
		"apiVersion": v1alpha1.GroupVersion.String(), "kind": "StsRoleGrant",
		"metadata": map[string]any{"name": c.grantName()},
		"spec":     map[string]any{"namespaces": map[string]any{"names": []string{c.namespace}}, "roleARNs": []string{todoRole}},
	})
}

// document returns YAML below a comment.
func document(head string, value any) []byte {
	b := bytes.NewBufferString(head)
	raw, err := json.Marshal(value)
	if err = errors.Join(err, (&printers.YAMLPrinter{}).PrintObj(&runtime.Unknown{Raw: raw}, b)); err != nil {
		panic("scan: a document of strings cannot be encoded: " + err.Error())
	}
	return b.Bytes()
}

// patch changes one workload.
type patch struct {
	object     Object
	containers map[string][]any // by field
	volumes    []any
	operations []map[string]string // a JSON patch, for arguments
	tokens     []string            // the variables or files with the security token
}

func (p *patch) isEmpty() bool { return len(p.containers)+len(p.volumes)+len(p.operations) == 0 }

// templatePath returns the path of the pod template in objects of a kind.
func templatePath(kind string) []string {
	switch kind {
	case "Pod":
		return nil
	case "CronJob":
		return []string{"spec", "jobTemplate", "spec", "template"}
	}
	return []string{"spec", "template"}
}

// isMutable reports whether the pod template of a kind can be changed.
func isMutable(kind string) bool { return kind != "Pod" && kind != "Job" }

// path returns a file for the patch.
func (p *patch) path(extension string) string {
	return fileName(p.object.Namespace, "patch-"+strings.ToLower(p.object.Kind)+"-"+p.object.Name, extension)
}

// files returns a strategic merge patch, and a JSON patch for arguments.
func (p *patch) files() map[string][]byte {
	files := map[string][]byte{}
	spec := map[string]any{}
	for field, containers := range p.containers {
		spec[field] = containers
	}
	if len(p.volumes) > 0 {
		spec["volumes"] = p.volumes
	}
	if len(spec) > 0 {
		var value any = map[string]any{"spec": spec}
		for _, field := range slices.Backward(templatePath(p.object.Kind)) {
			value = map[string]any{field: value}
		}
		head := "# Lets " + p.object.String() + " read the Secret of the operator.\n# The program must use the security token: " +
			strings.Join(p.tokens, ", ") + ".\n"
		files[p.path(".yaml")] = document(head, value)
	}
	if len(p.operations) > 0 {
		raw, err := json.MarshalIndent(p.operations, "", "  ")
		if err != nil {
			panic("scan: a patch of strings cannot be encoded: " + err.Error())
		}
		files[p.path(".json")] = append(raw, '\n')
	}
	return files
}

// readme returns the order of the steps.
func (g *generator) readme() []byte {
	var b strings.Builder
	b.WriteString("# Replace long-term AccessKeys\n\nThe old AccessKey and the new credentials work at the same time. Go on to the next step when the one before works.\n\n" +
		"1. In RAM, create a role for each file `stscredential-*.yaml`, with only the permissions that its pods need. Let it trust the operator.\n" +
		"2. Replace each `" + todoRole + "` by the ARN of the role, in the StsCredential and its StsRoleGrant.\n" +
		"3. As a cluster admin, apply the grants. They are not needed with `spec.identity`.\n\n   ```sh\n")
	byName := func(a, b *credential) int {
		return cmp.Or(cmp.Compare(a.namespace, b.namespace), cmp.Compare(a.name, b.name))
	}
	order := slices.SortedFunc(slices.Values(g.order), byName)
	for _, c := range order {
		fmt.Fprintf(&b, "   kubectl apply -f %s\n", c.grantPath())
	}
	b.WriteString("   ```\n\n4. Request the credentials, and wait for them.\n\n   ```sh\n")
	for _, c := range order {
		fmt.Fprintf(&b, "   kubectl apply -f %s\n", c.path())
		fmt.Fprintf(&b, "   kubectl -n %s wait stscredential/%s --for=condition=Ready --timeout=60s\n", c.namespace, c.name)
	}
	b.WriteString("   ```\n\n5. Make sure that each program uses the security token. Its variable or file is named in the patch.\n" +
		"6. Let the workloads read the new Secrets. Change their manifests in the same way, or the next deployment reverts it.\n\n   ```sh\n")
	for _, p := range g.patches {
		if !isMutable(p.object.Kind) {
			continue
		}
		target := fmt.Sprintf("   kubectl -n %s patch %s %s", p.object.Namespace, strings.ToLower(p.object.Kind), p.object.Name)
		if len(p.containers)+len(p.volumes) > 0 {
			fmt.Fprintf(&b, "%s --patch-file %s\n", target, p.path(".yaml"))
		}
		if len(p.operations) > 0 {
			fmt.Fprintf(&b, "%s --type json --patch-file %s\n", target, p.path(".json"))
		}
	}
	b.WriteString("   ```\n\n7. Disable the AccessKey in RAM. If nothing fails for some days, delete it in RAM, and from Secrets and ConfigMaps. Copies in annotations go when the changed manifests are applied.\n" +
		"8. Run `kubectl stscred scan` again.\n")
	if len(g.manual) > 0 {
		b.WriteString("\n## By hand\n\n")
		for _, m := range g.manual {
			b.WriteString("- " + m + "\n")
		}
	}
	return []byte(b.String())
}

// names are the names of the three values of credentials: variables, or keys of a Secret.
type names [3]string

// The indices of names.
const (
	nameOfID = iota
	nameOfSecret
	nameOfToken
)

// format is a format of the operator's Secret whose keys are three names.
type format struct {
	name v1alpha1.SecretFormat
	names
}

// formats are those of spec.secret.formats that programs read by name.
var formats = []format{
	{v1alpha1.FormatSDK, names{"ALIBABA_CLOUD_ACCESS_KEY_ID", "ALIBABA_CLOUD_ACCESS_KEY_SECRET", "ALIBABA_CLOUD_SECURITY_TOKEN"}},
	{v1alpha1.FormatTablestore, names{"TABLESTORE_ACCESS_KEY_ID", "TABLESTORE_ACCESS_KEY_SECRET", "TABLESTORE_SESSION_TOKEN"}},
	{v1alpha1.FormatOSS, names{"OSS_ACCESS_KEY_ID", "OSS_ACCESS_KEY_SECRET", "OSS_SESSION_TOKEN"}},
	{v1alpha1.FormatTerraform, names{"ALICLOUD_ACCESS_KEY", "ALICLOUD_SECRET_KEY", "ALICLOUD_SECURITY_TOKEN"}},
	{v1alpha1.FormatLogService, names{"ALIYUN_LOG_CLI_ACCESSID", "ALIYUN_LOG_CLI_ACCESSKEY", "ALIYUN_LOG_CLI_STS_TOKEN"}},
	{v1alpha1.FormatPlain, names{"accessKeyId", "accessKeySecret", "securityToken"}},
	{v1alpha1.FormatSTS, names{"AccessKeyId", "AccessKeySecret", "SecurityToken"}},
}

// documents are the formats that are a whole file, by the key of the file.
var documents = map[string]v1alpha1.SecretFormat{
	"config.json": v1alpha1.FormatCLI, "credentials": v1alpha1.FormatINI, "external.json": v1alpha1.FormatExternal,
}

// formatOf returns the format with these names; false if there is none.
func formatOf(id, secret string) (format, bool) {
	for _, f := range formats {
		if f.names[nameOfID] == id && f.names[nameOfSecret] == secret {
			return f, true
		}
	}
	return format{}, false
}

// idEndings are endings of the name of an AccessKey ID, the longest first. What is before them is the prefix of the token.
var idEndings = []string{
	"ACCESS_KEY_ID", "ACCESSKEY_ID", "ACCESSKEYID", "ACCESS_KEY", "ACCESSKEY", "ACCESS_ID", "ACCESSID", "KEY_ID", "AK_ENV", "AK_ID", "AKID", "AK",
}

// tokenName returns the name of the security token beside an AccessKey ID of any name.
func tokenName(id string) string {
	for _, ending := range idEndings {
		for _, variant := range []struct{ ending, token string }{
			{ending, "SECURITY_TOKEN"},
			{strings.ToLower(ending), "security_token"},
			{strings.ReplaceAll(strings.ToLower(ending), "_", "-"), "security-token"},
		} {
			if prefix, ok := strings.CutSuffix(id, variant.ending); ok {
				return prefix + variant.token
			}
		}
	}
	if strings.ToUpper(id) == id {
		return id + "_SECURITY_TOKEN"
	}
	return id + "SecurityToken"
}

// secretFor returns the name of the AccessKey secret that belongs to an ID: that of a format, or the most similar.
func secretFor(id string, candidates []string) string {
	best, length := "", -1
	for _, candidate := range candidates {
		if _, known := formatOf(id, candidate); known {
			return candidate
		}
		common := 0
		for common < min(len(id), len(candidate)) && id[common] == candidate[common] {
			common++
		}
		if common > length {
			best, length = candidate, common
		}
	}
	return best
}
