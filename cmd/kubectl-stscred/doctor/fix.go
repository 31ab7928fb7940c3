// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"cmp"
	"encoding/json"
	"regexp"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/cli-runtime/pkg/printers"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
)

// A fix is a shell script. Lines with '#' are for decisions of the user.

// script joins commands and comments.
func script(lines ...string) string { return strings.Join(lines, "\n") }

// comment returns text as comments of at most about 110 characters.
func comment(text string) string {
	var b strings.Builder
	length := 0
	for word := range strings.FieldsSeq(text) {
		switch {
		case b.Len() == 0:
			b.WriteString("# ")
		case length+len(word) > 110:
			b.WriteString("\n# ")
			length = 0
		default:
			b.WriteString(" ")
		}
		b.WriteString(word)
		length += len(word) + 1
	}
	return b.String()
}

// commented turns commands into comments.
func commented(commands string) string { return "# " + strings.ReplaceAll(commands, "\n", "\n# ") }

// kubectl returns a kubectl command. namespace is empty for objects of the cluster.
func kubectl(namespace string, arguments ...string) string {
	command := "kubectl "
	if namespace != "" {
		command += "-n " + namespace + " "
	}
	return command + strings.Join(arguments, " ")
}

// quoted returns a word of a shell, in single quotes.
func quoted(text string) string { return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'" }

// plainWord is a word that means the same to a shell with and without quotes.
var plainWord = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._/:@=-]*$`)

// word returns a word of a shell, in quotes if it needs them. It is for text that users of the cluster choose.
func word(text string) string {
	if plainWord.MatchString(text) {
		return text
	}
	return quoted(text)
}

// retryNow returns the command that lets the operator try again at once, after a change that it does not see by itself.
func retryNow(c *v1alpha1.StsCredential) string {
	return "kubectl stscred -n " + c.Namespace + " renew " + c.Name
}

// object is a part of a patch.
type object = map[string]any

// mergePatch returns the command that patches an object.
func mergePatch(namespace, resource, name string, patch object) string {
	return kubectl(namespace, "patch", resource, name, "--type=merge", "-p", quoted(compact(patch)))
}

// strategicPatch returns the command that patches an object of a built-in kind, whose lists are merged by name.
func strategicPatch(namespace, resource, name string, patch object) string {
	return kubectl(namespace, "patch", resource, name, "-p", quoted(compact(patch)))
}

// operation is one of a JSON patch. The API server applies none if one fails, such as a test.
type operation struct {
	Op    string `json:"op"`
	Path  string `json:"path"`
	Value any    `json:"value,omitempty"`
}

// jsonPatch returns the command that patches an object with operations.
func jsonPatch(namespace, resource, name string, operations ...operation) string {
	return kubectl(namespace, "patch", resource, name, "--type=json", "-p", quoted(compact(operations)))
}

// removeField returns the command that removes a field of an StsCredential.
func removeField(namespace, name, path string) string {
	return jsonPatch(namespace, "stscredential", name, operation{Op: "remove", Path: path})
}

// apply returns the command that applies a manifest.
func apply(manifest string) string { return "kubectl apply -f - <<'EOF'\n" + manifest + "EOF" }

// manifest returns YAML of strings, maps and lists.
func manifest(value object) string {
	var b strings.Builder
	if err := (&printers.YAMLPrinter{}).PrintObj(&runtime.Unknown{Raw: []byte(compact(value))}, &b); err != nil {
		panic("doctor: a manifest cannot be encoded: " + err.Error())
	}
	return b.String()
}

// compact returns JSON for a command. All values are made here of strings, numbers, maps and lists.
func compact(value any) string {
	var b strings.Builder
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		panic("doctor: a patch cannot be encoded: " + err.Error())
	}
	return strings.TrimSpace(b.String())
}

// matches reports whether labels match a selector. An invalid selector matches all.
func matches(selector string, of map[string]string) bool {
	parsed, err := labels.Parse(selector)
	return err != nil || parsed.Matches(labels.Set(of))
}

// operatorFlag returns the value of a flag of the operator, by its arguments; empty if it is not set, or if several operators
// set it differently.
func (s *Snapshot) operatorFlag(name string) string {
	value := ""
	for i := range s.Operators {
		is, _ := managerFlag(&s.Operators[i], name)
		if i > 0 && is != value {
			return ""
		}
		value = is
	}
	return value
}

// expand replaces $(NAME) in an argument by the value of the variable, as Kubernetes does.
func expand(argument string, env []corev1.EnvVar) string {
	for _, e := range env {
		argument = strings.ReplaceAll(argument, "$("+e.Name+")", e.Value)
	}
	return argument
}

// operatorAccount returns the namespace and the ServiceAccount of the operator; the defaults if they are not known.
func (s *Snapshot) operatorAccount() (namespace, name string) {
	namespace, name = "sts-system", "sts-credential-operator"
	if len(s.Operators) > 0 {
		namespace = s.Operators[0].Namespace
		if account := s.Operators[0].Spec.Template.Spec.ServiceAccountName; account != "" {
			name = account
		}
	}
	return namespace, name
}

// enable returns how a cluster administrator sets a value of the chart, or adds a component of the kustomization.
func (s *Snapshot) enable(value, component string) string {
	if len(s.Operators) > 0 {
		d := &s.Operators[0]
		if release := d.Annotations["meta.helm.sh/release-name"]; release != "" {
			namespace := cmp.Or(d.Annotations["meta.helm.sh/release-namespace"], d.Namespace)
			return "helm upgrade " + word(release) + " charts/sts-credential-operator -n " + word(namespace) + " --reset-then-reuse-values --set " + value
		}
	}
	return comment("As a cluster administrator: set the chart's value " + value + ", or add the kustomize component " + component + ".")
}
