// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package stscredential

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
)

const (
	stsAudience = "sts.aliyuncs.com"
	// operatorUser is the operator to the API server, where config/default is installed as it is.
	operatorUser = "system:serviceaccount:sts-system:sts-credential-operator"
)

// kustomize builds a folder of config/, or an overlay of the given text that may name such folders below config.
func kustomize(t *testing.T, folder, overlay string) []*unstructured.Unstructured {
	t.Helper()
	root, err := filepath.Abs(filepath.Join("..", "..", "config"))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(root, folder)
	if overlay != "" {
		path = t.TempDir()
		relative, err := filepath.Rel(path, root)
		if err != nil {
			t.Fatal(err)
		}
		overlay = strings.ReplaceAll(overlay, "config/", relative+"/")
		if err := os.WriteFile(filepath.Join(path, "kustomization.yaml"), []byte(overlay), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	document, err := exec.CommandContext(t.Context(), filepath.Join(cluster.Assets(), "kubectl"), "kustomize", path).Output()
	if err != nil {
		t.Fatalf("kubectl kustomize: %v", err)
	}
	return objects(t, document)
}

// createAll creates those of the objects that are of these kinds, for the time of the test. Bindings of rights to the
// operator's ServiceAccount need no ServiceAccount.
func (env *environment) createAll(all []*unstructured.Unstructured, kinds ...string) {
	env.Helper()
	env.Must(client.IgnoreAlreadyExists(api.Create(env.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "sts-system"}})))
	for _, o := range all {
		if slices.Contains(kinds, o.GetKind()) {
			err := api.Create(env.Context(), o)
			env.Must(client.IgnoreAlreadyExists(err))
			if err == nil {
				env.Cleanup(func() { _ = api.Delete(context.Background(), o) })
			}
		}
	}
}

// impersonate is a client of another user, without a cache.
func (env *environment) impersonate(user string, groups ...string) client.Client {
	env.Helper()
	impersonating := rest.CopyConfig(cluster.Config)
	impersonating.Impersonate = rest.ImpersonationConfig{UserName: user, Groups: groups}
	c, err := client.New(impersonating, client.Options{Scheme: cluster.Scheme})
	env.Must(err)
	return c
}

// restrictedClient installs what config/default says about the operator's rights, with leave to request tokens from
// everybody, and returns the operator's client, once the policies are in force.
func (env *environment) restrictedClient() client.Client {
	env.Helper()
	all := kustomize(env.T, "", "resources: [config/default]\ncomponents: [config/components/service-account-identity-cluster-wide]\n")
	env.createAll(all, "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding", "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding")
	env.Must(client.IgnoreAlreadyExists(api.Create(env.Context(), &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: env.Namespace, Name: "orders"}})))
	operator := env.impersonate(operatorUser)
	env.Eventually("both policies are in force", func(ctx context.Context) bool {
		token := env.requestToken(operator, "orders", authenticationv1.TokenRequestSpec{})
		tls := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: env.Namespace, Name: "probe"}, Type: "example.com/probe"}
		written := operator.Create(ctx, tls, client.DryRunAll)
		return denied(token) && denied(written)
	})
	return operator
}

// denied reports whether a policy of the project refused, rather than RBAC.
func denied(err error) bool {
	return apierrors.IsForbidden(err) && strings.Contains(err.Error(), "ValidatingAdmissionPolicy 'sts-credential-operator-")
}

// requestToken requests a token of a ServiceAccount of the namespace.
func (env *environment) requestToken(as client.Client, account string, spec authenticationv1.TokenRequestSpec) error {
	request := &authenticationv1.TokenRequest{Spec: spec}
	err := as.SubResource("token").Create(env.Context(), &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: env.Namespace, Name: account}}, request)
	if err == nil && request.Status.Token == "" {
		return fmt.Errorf("no token in the answer")
	}
	return err
}

func TestAdmissionOfTokenRequests(t *testing.T) {
	env := newEnvironment(t)
	operator := env.restrictedClient()
	bound := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: env.Namespace, Name: "bound"}}
	env.Must(api.Create(env.Context(), bound))
	toSecret := &authenticationv1.BoundObjectReference{APIVersion: "v1", Kind: "Secret", Name: bound.Name, UID: bound.UID}
	const apiServer = "https://kubernetes.default.svc"
	for _, tt := range []struct {
		name  string
		given authenticationv1.TokenRequestSpec
		want  string // what the refusal says; empty: no refusal
	}{
		{"what the operator asks for", authenticationv1.TokenRequestSpec{Audiences: []string{stsAudience}, ExpirationSeconds: ptr.To[int64](600)}, ""},
		{"no audience, which means the API server's own", authenticationv1.TokenRequestSpec{ExpirationSeconds: ptr.To[int64](600)}, "audience sts.aliyuncs.com alone"},
		{"the API server's audience", authenticationv1.TokenRequestSpec{Audiences: []string{apiServer}, ExpirationSeconds: ptr.To[int64](600)}, "audience sts.aliyuncs.com alone"},
		{"another audience", authenticationv1.TokenRequestSpec{Audiences: []string{"vault"}, ExpirationSeconds: ptr.To[int64](600)}, "audience sts.aliyuncs.com alone"},
		{"another spelling", authenticationv1.TokenRequestSpec{Audiences: []string{"STS.aliyuncs.com"}, ExpirationSeconds: ptr.To[int64](600)}, "audience sts.aliyuncs.com alone"},
		{"one audience too many", authenticationv1.TokenRequestSpec{Audiences: []string{stsAudience, apiServer}, ExpirationSeconds: ptr.To[int64](600)}, "audience sts.aliyuncs.com alone"},
		{"the same audience twice", authenticationv1.TokenRequestSpec{Audiences: []string{stsAudience, stsAudience}, ExpirationSeconds: ptr.To[int64](600)}, "audience sts.aliyuncs.com alone"},
		{"a second longer", authenticationv1.TokenRequestSpec{Audiences: []string{stsAudience}, ExpirationSeconds: ptr.To[int64](601)}, "at most 600 seconds"},
		{"no lifetime, which means an hour", authenticationv1.TokenRequestSpec{Audiences: []string{stsAudience}}, "at most 600 seconds"},
		{"bound to an object", authenticationv1.TokenRequestSpec{Audiences: []string{stsAudience}, ExpirationSeconds: ptr.To[int64](600), BoundObjectRef: toSecret}, "bound to an object"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := env.requestToken(operator, "orders", tt.given)
			switch {
			case tt.want == "" && err != nil:
				t.Errorf("refused: %v", err)
			case tt.want != "" && (!denied(err) || !strings.Contains(err.Error(), tt.want)):
				t.Errorf("got %v, want a refusal that says %q", err, tt.want)
			}
		})
	}
	unfenced := authenticationv1.TokenRequestSpec{Audiences: []string{"vault"}, ExpirationSeconds: ptr.To[int64](7200), BoundObjectRef: toSecret}
	for _, user := range []string{
		"kubernetes-admin", "system:serviceaccount:sts-system:other", "system:serviceaccount:sts-system:x-sts-credential-operator",
		"sts-credential-operator", "system:node:n1",
	} {
		if err := env.requestToken(env.impersonate(user, "system:masters"), "orders", unfenced); err != nil {
			t.Errorf("%s, who is not the operator: %v", user, err)
		}
	}
	if err := env.requestToken(env.impersonate("system:serviceaccount:elsewhere:sts-credential-operator", "system:masters"), "orders", unfenced); !denied(err) {
		t.Errorf("installed in another namespace the operator is not fenced: %v", err)
	}
}

// The recommended form: a Role for each ServiceAccount by name, as docs/security.md shows it.
func TestAdmissionNamedServiceAccount(t *testing.T) {
	env := newEnvironment(t)
	all := kustomize(t, "", "resources: [config/default]\ncomponents: [config/components/service-account-identity]\n")
	env.createAll(all, "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding")
	for _, name := range []string{"orders", "payments"} {
		env.Must(client.IgnoreAlreadyExists(api.Create(env.Context(), &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: env.Namespace, Name: name}})))
	}
	spec := authenticationv1.TokenRequestSpec{Audiences: []string{stsAudience}, ExpirationSeconds: ptr.To[int64](600)}
	operator := env.impersonate(operatorUser)
	if err := env.requestToken(operator, "orders", spec); !apierrors.IsForbidden(err) {
		t.Errorf("without any Role: %v, want it forbidden", err)
	}
	env.createExample(filepath.Join("..", "..", "docs", "identity.md"), "kind: Role\n", "shop")
	env.Eventually("the Role is in force", func(context.Context) bool { return env.requestToken(operator, "orders", spec) == nil })
	if err := env.requestToken(operator, "payments", spec); !apierrors.IsForbidden(err) {
		t.Errorf("a ServiceAccount that the Role does not name: %v, want it forbidden", err)
	}
	if args := managerArgs(t, all); !slices.Contains(args, "--service-account-identity") || !slices.Contains(args, "--leader-elect") {
		t.Errorf("the manager's arguments are %v", args)
	}
	if args := managerArgs(t, kustomize(t, "default", "")); slices.Contains(args, "--service-account-identity") {
		t.Errorf("by default the manager's arguments are %v", args)
	}
	for _, o := range kustomize(t, "default", "") {
		if raw, _ := o.MarshalJSON(); strings.HasSuffix(o.GetKind(), "Role") && strings.Contains(string(raw), "serviceaccounts") {
			t.Errorf("by default %s %s speaks of ServiceAccounts: %s", o.GetKind(), o.GetName(), raw)
		}
	}
}

// createExample creates the objects of the YAML example of a document that holds a text, in the test's namespace in place of the example's.
func (env *environment) createExample(path, with, namespace string) {
	env.Helper()
	document, err := os.ReadFile(path)
	env.Must(err)
	for _, block := range regexp.MustCompile("(?ms)^( *)```yaml\n(.*?)^ *```$").FindAllStringSubmatch(string(document), -1) {
		example := regexp.MustCompile("(?m)^"+block[1]).ReplaceAllString(block[2], "") // it may stand in a list
		if !strings.HasPrefix(example, "apiVersion:") || !strings.Contains(example, with) {
			continue
		}
		example = strings.ReplaceAll(example, "namespace: "+namespace, "namespace: "+env.Namespace)
		for _, o := range objects(env.T, []byte(example)) {
			env.Must(client.WithFieldValidation(api, metav1.FieldValidationStrict).Create(env.Context(), o))
		}
		return
	}
	env.Fatalf("%s has no example with %q", path, with)
}

func managerArgs(t *testing.T, all []*unstructured.Unstructured) []string {
	t.Helper()
	for _, o := range all {
		if o.GetKind() != "Deployment" {
			continue
		}
		containers, _, err := unstructured.NestedSlice(o.Object, "spec", "template", "spec", "containers")
		if err != nil || len(containers) != 1 {
			t.Fatalf("containers: %v, %v", containers, err)
		}
		args, _, err := unstructured.NestedStringSlice(containers[0].(map[string]any), "args")
		if err != nil {
			t.Fatal(err)
		}
		return args
	}
	t.Fatal("there is no Deployment")
	return nil
}

// The aggregated ClusterRoles say what their names promise, and not more.
func TestAdmissionAggregatedRoles(t *testing.T) {
	for _, o := range kustomize(t, "rbac", "") {
		if o.GetKind() != "ClusterRole" || len(o.GetLabels()) == 0 {
			continue
		}
		var got rbacv1.ClusterRole
		if err := cluster.Scheme.Convert(o, &got, nil); err != nil {
			t.Fatal(err)
		}
		for _, rule := range got.Rules {
			if !slices.Equal(rule.Resources, []string{"stscredentials"}) || !slices.Equal(rule.APIGroups, []string{v1alpha1.GroupVersion.Group}) {
				t.Errorf("%s: %v", got.Name, rule)
			}
			if got.Labels["rbac.authorization.k8s.io/aggregate-to-view"] != "" && !slices.Equal(rule.Verbs, []string{"get", "list", "watch"}) {
				t.Errorf("%s gives viewers %v", got.Name, rule.Verbs)
			}
		}
	}
}
