// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
	"github.com/stscredential/sts-credential-operator/internal/credentials"
	"github.com/stscredential/sts-credential-operator/internal/secret"
	"github.com/stscredential/sts-credential-operator/test/stsemulator"
)

// What the samples name.
const (
	namespace   = "shop"
	reader      = "orders-reader" // in stscredential.yaml
	tables      = "orders-tables" // in stscredential-policy.yaml, of the same role
	mounted     = "orders-agent"  // in stscredential-agent.yaml
	writer      = "orders-writer" // in stscredential-serviceaccount.yaml
	account     = "1234567890123456"
	operatorARN = "acs:ram::" + account + ":user/sts-operator"
	readerARN   = "acs:ram::" + account + ":role/orders-reader"
	writerARN   = "acs:ram::" + account + ":role/orders-writer"
	providerARN = "acs:ram::" + account + ":oidc-provider/ack-rrsa-c1"
)

// action is a part of a step: something that is done and shown, or a check.
type action func(context.Context) error

type step struct {
	title   string
	actions []action
}

// steps returns the demo, in order.
func (d *demo) steps() []step {
	const ready, failing = v1alpha1.ConditionReady, v1alpha1.ConditionRenewalFailing
	list := d.run("kubectl get stscred -n shop")
	return []step{
		{"Without a grant nothing is issued", []action{
			d.run("kubectl create namespace shop"),
			d.run("kubectl apply -f config/samples/stscredential.yaml"),
			d.expect(reader, ready, metav1.ConditionFalse, v1alpha1.ReasonRoleNotGranted, namespace, readerARN),
			list, d.showMessage(reader, ready), d.hasCalled(0),
		}},
		{"A cluster admin grants the role", []action{
			d.run("kubectl apply -f config/samples/stsrolegrant.yaml"),
			d.run("kubectl wait stscred/orders-reader -n shop --for=condition=Ready --timeout=60s"),
			list, d.expectIssued(reader),
		}},
		{"The Secret holds credentials", []action{d.run("kubectl describe secret orders-sts -n shop")}},
		{"The credentials work", []action{note("GetCallerIdentity, called with the credentials in the Secret:"), d.works(reader)}},
		{"A renewal on request", []action{
			d.buildPlugin, d.run("kubectl stscred renew orders-reader -n shop --wait"), d.isRenewed(reader),
			d.run("kubectl stscred list -n shop"),
		}},
		{"A program follows a renewal through the agent", []action{
			d.run("kubectl apply -f config/samples/stscredential-agent.yaml"),
			d.run("kubectl wait stscred/orders-agent -n shop --for=condition=Ready --timeout=60s"),
			note("in a pod, the kubelet mounts the Secret; here the demo writes it to a folder"),
			d.startAgent, d.followsRenewal, d.renew(mounted), d.followsRenewal,
		}},
		{"A refusal says what to do", []action{
			note("the role's administrator removes the operator from its trust policy"), d.trust(),
			d.renew(reader),
			d.expectRefused(reader, failing, metav1.ConditionTrue),
			d.expect(reader, ready, metav1.ConditionTrue, v1alpha1.ReasonIssued),
			d.explains("kubectl stscred status orders-reader -n shop", "NoPermission"), d.isUnchanged(reader), d.works(reader),
			note("another StsCredential of that role never had a Secret:"),
			d.run("kubectl apply -f config/samples/stscredential-policy.yaml"),
			d.expectRefused(tables, ready, metav1.ConditionFalse), d.showMessage(tables, ready),
			note("the administrator does what the messages say, and a renewal is requested for both"), d.trust(operatorARN),
			d.renew(reader), d.expectIssued(reader), d.renew(tables), d.expectIssued(tables), list,
		}},
		{"A ServiceAccount needs no key and no grant", []action{
			note("the RAM administrator registers this cluster's issuer and keys, and " + writerARN + " trusts the ServiceAccount orders"),
			d.trustCluster,
			note("a cluster admin lets the operator request tokens of this ServiceAccount"),
			d.run("kubectl create role sts-tokens-of-orders -n shop --verb=create --resource=serviceaccounts/token --resource-name=orders"),
			d.run("kubectl create rolebinding sts-tokens-of-orders -n shop --role=sts-tokens-of-orders --serviceaccount=sts-system:sts-credential-operator"),
			d.run("kubectl apply -f config/samples/stscredential-serviceaccount.yaml"),
			d.run("kubectl wait stscred/orders-writer -n shop --for=condition=Ready --timeout=60s"),
			list, d.works(writer),
		}},
		{"The Secret goes with its StsCredential", []action{
			note("Kubernetes' garbage collector deletes it; the collector discovers new kinds every 30 s"),
			d.run("kubectl delete stscred orders-reader -n shop"),
			d.run("kubectl wait secret/orders-sts -n shop --for=delete --timeout=60s"),
			d.run("kubectl get stscred,secret -n shop"),
		}},
	}
}

// walk goes through the steps, up to the first that fails.
func (d *demo) walk(ctx context.Context) error {
	steps := d.steps()
	for i, step := range steps {
		say(bold, "\n%d. %s", i+1, step.title)
		for _, do := range step.actions {
			if err := do(ctx); err != nil {
				return fmt.Errorf("step %d: %w", i+1, err)
			}
		}
	}
	// Some of what needs a right, such as events, fails without a trace elsewhere.
	log, err := os.ReadFile(filepath.Join(d.dir, "manager.log"))
	if err != nil {
		return err
	}
	if i := strings.Index(string(log), "forbidden"); i >= 0 {
		return errors.New("the rights of config/rbac are not enough: see manager.log")
	}
	say(bold, "\nAll %d steps succeeded", len(steps))
	// The first issuance and two renewals of reader, one issuance of tables, and two of mounted.
	return d.hasCalled(6)(ctx)
}

// hasCalled requires a number of AssumeRole calls that succeeded; for 0, that none was made.
func (d *demo) hasCalled(want int) action {
	return func(context.Context) error {
		issued, refused := d.calls()
		say(dim, "  STS counts %d AssumeRole calls: %d issued, %d refused", issued+len(refused), issued, len(refused))
		if issued != want || want == 0 && len(refused) > 0 {
			return fmt.Errorf("%d AssumeRole calls succeeded, want %d", issued, want)
		}
		return nil
	}
}

func note(text string) action {
	return func(context.Context) error {
		say(dim, "  %s", text)
		return nil
	}
}

// run runs a command as a user would, in the repository's root, and shows it with its output.
func (d *demo) run(line string) action {
	return func(ctx context.Context) error {
		_, err := d.output(ctx, line)
		return err
	}
}

// output runs a command, shows it with its output, and returns the output.
func (d *demo) output(ctx context.Context, line string) (string, error) {
	say(cyan, "  $ %s", line)
	cmd := exec.CommandContext(ctx, "sh", "-c", line)
	cmd.Dir = d.root
	cmd.Env = append(os.Environ(), "KUBECONFIG="+d.plane.Kubeconfig(), "PATH="+d.plane.Assets()+":"+d.dir+":"+os.Getenv("PATH"),
		"KUBECACHEDIR="+filepath.Join(d.dir, "kubectl-cache"))
	output, err := cmd.CombinedOutput()
	if text := strings.TrimRight(string(output), "\n"); text != "" {
		say("", "    %s", strings.ReplaceAll(text, "\n", "\n    "))
	}
	return string(output), err
}

// buildPlugin builds the kubectl plugin, which kubectl finds in PATH.
func (d *demo) buildPlugin(ctx context.Context) error {
	_, err := d.build(ctx, "kubectl-stscred", "./cmd/kubectl-stscred")
	return err
}

// explains runs a command that must find something wrong, exit with status 1, and print words.
func (d *demo) explains(line, words string) action {
	return func(ctx context.Context) error {
		output, err := d.output(ctx, line)
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.ExitCode() != 1 || !strings.Contains(output, words) {
			return fmt.Errorf("%s: want exit status 1 and an output with %q", line, words)
		}
		return nil
	}
}

// showMessage shows the message of a condition.
func (d *demo) showMessage(name, kind string) action {
	return d.run(fmt.Sprintf(`kubectl get stscred %s -n shop -o jsonpath='{.status.conditions[?(@.type=="%s")].message}'`, name, kind))
}

// renew requests a renewal.
func (d *demo) renew(name string) action {
	return func(ctx context.Context) error {
		value := time.Now().UTC().Format("2006-01-02T15:04:05.000Z")
		return d.run("kubectl annotate stscred " + name + " -n shop --overwrite " + v1alpha1.AnnotationRenewRequestedAt + "=" + value)(ctx)
	}
}

// trust sets whom the role of reader trusts.
func (d *demo) trust(arns ...string) action {
	return func(context.Context) error {
		role := stsemulator.Role{ARN: readerARN}
		if len(arns) > 0 {
			role.Trust = []stsemulator.Statement{{RAM: arns}}
		}
		d.sts.AddRole(role)
		return nil
	}
}

// trustCluster registers the keys that the cluster signs its tokens with, and a role that trusts a ServiceAccount.
func (d *demo) trustCluster(ctx context.Context) error {
	cluster, err := kubernetes.NewForConfig(d.plane.Config())
	if err != nil {
		return err
	}
	published, err := cluster.RESTClient().Get().AbsPath("/openid/v1/jwks").DoRaw(ctx)
	if err != nil {
		return err
	}
	keys, err := stsemulator.ParseJWKS(published)
	if err != nil {
		return err
	}
	const issuer, audience = "https://kubernetes.default.svc", "sts.aliyuncs.com"
	d.sts.AddOIDCProvider(stsemulator.OIDCProvider{ARN: providerARN, Issuer: issuer, ClientIDs: []string{audience}, JWKS: keys})
	d.sts.AddRole(stsemulator.Role{ARN: writerARN, Trust: []stsemulator.Statement{{
		Federated: []string{providerARN}, StringEquals: map[string][]string{
			"oidc:iss": {issuer}, "oidc:aud": {audience}, "oidc:sub": {"system:serviceaccount:shop:orders"},
		},
	}}})
	return nil
}

// calls returns how many AssumeRole calls succeeded, and those that were refused.
func (d *demo) calls() (issued int, refused []stsemulator.Call) {
	for _, call := range d.sts.Calls() {
		switch {
		case call.Action != "AssumeRole":
		case call.Code == "":
			issued++
		default:
			refused = append(refused, call)
		}
	}
	return issued, refused
}

// expect waits until a condition is as check wants it.
func (d *demo) expect(name, kind string, status metav1.ConditionStatus, reason string, mentions ...string) action {
	return func(ctx context.Context) error {
		err := d.eventually(ctx, name, func(c *v1alpha1.StsCredential) error { return check(c, kind, status, reason, mentions) })
		if err != nil {
			return err
		}
		message := strings.Join(mentions, " and ")
		if message != "" {
			message = ", with a message that names " + message
		}
		say(green, "  ✓ %s has %s=%s %s%s", name, kind, status, reason, message)
		return nil
	}
}

// check returns an error unless a condition of the current spec has a status and a reason, and its message contains all
// mentions. For status Unknown, the condition must be absent.
func check(c *v1alpha1.StsCredential, kind string, status metav1.ConditionStatus, reason string, mentions []string) error {
	got := meta.FindStatusCondition(c.Status.Conditions, kind)
	switch {
	case c.Status.ObservedGeneration != c.Generation:
		return errors.New("the status is of an older spec")
	case got == nil && status == metav1.ConditionUnknown:
		return nil
	case got == nil || got.Status != status || got.Reason != reason:
		return fmt.Errorf("want %s=%s %s, got %+v", kind, status, reason, got)
	}
	for _, mention := range mentions {
		if !strings.Contains(got.Message, mention) {
			return fmt.Errorf("want %s=%s %s that mentions %s, got %q", kind, status, reason, mention, got.Message)
		}
	}
	return nil
}

// expectIssued waits until an StsCredential is Ready, and no renewal fails.
func (d *demo) expectIssued(name string) action {
	return func(ctx context.Context) error {
		if err := d.expect(name, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonIssued)(ctx); err != nil {
			return err
		}
		return d.eventually(ctx, name, func(c *v1alpha1.StsCredential) error {
			return check(c, v1alpha1.ConditionRenewalFailing, metav1.ConditionUnknown, "", nil)
		})
	}
}

// expectRefused waits for a condition that reports STS's last refusal: its code, its RequestId, and whom the role must trust.
func (d *demo) expectRefused(name, kind string, status metav1.ConditionStatus) action {
	return func(ctx context.Context) error {
		if err := d.expect(name, kind, status, v1alpha1.ReasonRoleRefused, operatorARN)(ctx); err != nil {
			return err
		}
		_, refused := d.calls()
		last := refused[len(refused)-1]
		return d.expect(name, kind, status, v1alpha1.ReasonRoleRefused, last.Code, last.RequestID)(ctx)
	}
}

// eventually polls an StsCredential until ok returns nil.
func (d *demo) eventually(ctx context.Context, name string, ok func(*v1alpha1.StsCredential) error) error {
	last := errors.New("no answer")
	err := wait.PollUntilContextTimeout(ctx, 100*time.Millisecond, time.Minute, true, func(ctx context.Context) (bool, error) {
		c := &v1alpha1.StsCredential{}
		if last = d.kube.Get(ctx, types.NamespacedName{Namespace: namespace, Name: name}, c); last == nil {
			last = ok(c)
		}
		return last == nil, nil
	})
	if err != nil {
		return fmt.Errorf("%s: %w: %w", name, err, last)
	}
	return nil
}

// read returns an StsCredential and the credentials in its Secret, which must be those of the status, and nothing else.
func (d *demo) read(ctx context.Context, name string) (*v1alpha1.StsCredential, credentials.Credentials, error) {
	c, s := &v1alpha1.StsCredential{}, &corev1.Secret{}
	if err := d.kube.Get(ctx, types.NamespacedName{Namespace: namespace, Name: name}, c); err != nil {
		return nil, credentials.Credentials{}, err
	}
	if err := d.kube.Get(ctx, types.NamespacedName{Namespace: namespace, Name: c.Status.SecretName}, s); err != nil {
		return nil, credentials.Credentials{}, err
	}
	held := credentials.Credentials{
		AccessKeyID: string(s.Data[secret.KeyAccessKeyID]), AccessKeySecret: string(s.Data[secret.KeyAccessKeySecret]),
		SecurityToken: string(s.Data[secret.KeySecurityToken]),
	}
	if held.AccessKeyID == "" || held.AccessKeySecret == "" || held.SecurityToken == "" || len(s.Data) != 3 || held.AccessKeyID != c.Status.AccessKeyID {
		return nil, credentials.Credentials{}, fmt.Errorf("the Secret %s does not hold the complete credentials of %s, and nothing else", s.Name, c.Status.AccessKeyID)
	}
	return c, held, nil
}

// works requires that the credentials in the Secret work at STS, as the session of the StsCredential.
func (d *demo) works(name string) action {
	return func(ctx context.Context) error {
		c, held, err := d.read(ctx, name)
		if err != nil {
			return err
		}
		d.used[name] = held
		return d.actsAs(ctx, "the credentials", held, c)
	}
}

func (d *demo) actsAs(ctx context.Context, what string, keys credentials.Credentials, c *v1alpha1.StsCredential) error {
	caller, err := d.client.GetCallerIdentity(ctx, keys)
	if err != nil {
		return err
	}
	want := fmt.Sprintf("acs:ram::%s:assumed-role/%s/%s", account, c.Status.RoleName, c.Status.SessionName)
	if caller.ARN != want {
		return fmt.Errorf("%s act as %s, want %s", what, caller.ARN, want)
	}
	say(green, "  ✓ %s act as %s", what, want)
	return nil
}

// isRenewed waits for other credentials than those used last, and requires that both work.
func (d *demo) isRenewed(name string) action {
	return func(ctx context.Context) error {
		before, after := d.used[name], credentials.Credentials{}
		err := d.eventually(ctx, name, func(_ *v1alpha1.StsCredential) (err error) {
			if _, after, err = d.read(ctx, name); err == nil && after.AccessKeyID == before.AccessKeyID {
				err = errors.New("the credentials are the old ones")
			}
			return err
		})
		if err != nil {
			return err
		}
		say(green, "  ✓ the AccessKey ID was %s, and is now %s in status and Secret", before.AccessKeyID, after.AccessKeyID)
		c, _, err := d.read(ctx, name)
		if err != nil {
			return err
		}
		return errors.Join(d.works(name)(ctx), d.actsAs(ctx, "the old credentials, until they expire,", before, c))
	}
}

// isUnchanged requires that the Secret holds the credentials that were used last.
func (d *demo) isUnchanged(name string) action {
	return func(ctx context.Context) error {
		_, held, err := d.read(ctx, name)
		if err == nil && held != d.used[name] {
			err = errors.New("the Secret has changed")
		}
		return err
	}
}
