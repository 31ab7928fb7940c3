// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
	"github.com/stscredential/sts-credential-operator/internal/sts"
	"github.com/stscredential/sts-credential-operator/internal/stsemulator"
)

// blocks are a page's fenced blocks of a language, without the indentation of a list that they stand in.
func blocks(t *testing.T, page, language string) (all []string) {
	t.Helper()
	content, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	fenced := regexp.MustCompile("(?ms)^( *)```" + language + "\n(.*?)^ *```$")
	for _, m := range fenced.FindAllStringSubmatch(string(content), -1) {
		all = append(all, regexp.MustCompile("(?m)^"+m[1]).ReplaceAllString(m[2], ""))
	}
	return all
}

// Whole objects in the docs are taken by a real API server, field by field.
func TestManifestsInDocs(t *testing.T) {
	w := newWorld(t)
	strict := client.WithFieldValidation(api, metav1.FieldValidationStrict)
	for _, namespace := range []string{"shop", "sts-system"} {
		w.must(client.IgnoreAlreadyExists(api.Create(w.ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}})))
	}
	pages, err := filepath.Glob(filepath.Join("..", "docs", "*.md"))
	w.must(err)
	found := 0
	for _, page := range append(pages, filepath.Join("..", "README.md")) {
		for _, block := range blocks(t, page, "yaml") {
			if !strings.HasPrefix(block, "apiVersion:") {
				continue
			}
			for _, o := range objects(t, []byte(block)) {
				found++
				if err := strict.Create(w.ctx, o, client.DryRunAll); client.IgnoreAlreadyExists(err) != nil {
					t.Errorf("%s: %s %s: %v", page, o.GetKind(), o.GetName(), err)
				}
			}
		}
	}
	if found < 6 {
		t.Errorf("only %d objects found in the docs", found)
	}
}

// trustPolicy is RAM's document, as far as the docs use it.
type trustPolicy struct {
	Statement []struct {
		Effect, Action any
		Principal      struct{ RAM, Federated []string }
		Condition      struct{ StringEquals map[string]string }
		Resource       any
	}
}

// The trust policies that docs/identity.md gives to paste let in whom they are for, at the emulated STS.
func TestTrustPoliciesInDocs(t *testing.T) {
	w := newWorld(t)
	const docsProvider, docsRole = "acs:ram::" + account + ":oidc-provider/ack-rrsa-c1", "acs:ram::" + account + ":role/orders-writer"
	w.namespace = "shop"
	w.must(client.IgnoreAlreadyExists(api.Create(w.ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop"}})))
	w.serviceAccount("orders")
	w.trustServiceAccounts("orders", docsProvider, docsRole)
	w.emulator.RemoveRole(role)
	w.emulator.RemoveRole(docsRole)
	policies := 0
	for _, block := range blocks(t, filepath.Join("..", "docs", "identity.md"), "json") {
		var document trustPolicy
		w.must(json.Unmarshal([]byte(strings.ReplaceAll(block, "<issuer URL of the provider>", issuer)), &document))
		s := document.Statement[0]
		trust := stsemulator.Statement{RAM: s.Principal.RAM, Federated: s.Principal.Federated, StringEquals: map[string][]string{}}
		for k, v := range s.Condition.StringEquals {
			trust.StringEquals[k] = []string{v}
		}
		switch {
		case len(trust.RAM) > 0:
			w.emulator.AddRole(stsemulator.Role{ARN: role, Trust: []stsemulator.Statement{trust}})
		case len(trust.Federated) > 0:
			w.emulator.AddRole(stsemulator.Role{ARN: docsRole, Trust: []stsemulator.Statement{trust}})
		default: // a policy of rights
			_, err := sts.CompactPolicy([]byte(block))
			w.must(err)
		}
		policies++
	}
	if policies != 3 {
		t.Errorf("%d policies found, want the operator's rights and two of trust", policies)
	}
	w.grant(nil)
	asOperator := w.credential("docs-operator")
	asAccount := w.credential("docs-account", asServiceAccount("orders"), func(c *v1alpha1.StsCredential) {
		c.Spec.RoleARN, c.Spec.Identity.ServiceAccount.OIDCProviderARN = docsRole, docsProvider
	})
	for _, c := range []*v1alpha1.StsCredential{asOperator, asAccount} {
		w.pass(c)
		w.wantCondition(c, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonIssued, "")
		w.must(api.Delete(w.ctx, c))
	}
}
