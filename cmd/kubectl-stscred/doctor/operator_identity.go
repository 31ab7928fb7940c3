// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
)

// Variables of the operator's identity.
const (
	variableID       = "ALIBABA_CLOUD_ACCESS_KEY_ID"
	variableSecret   = "ALIBABA_CLOUD_ACCESS_KEY_SECRET"
	variableToken    = "ALIBABA_CLOUD_SECURITY_TOKEN" //nolint:gosec // the name of a variable
	variableNoECS    = "ALIBABA_CLOUD_ECS_METADATA_DISABLED"
	variableECS      = "ALIBABA_CLOUD_ECS_METADATA"
	injectionLabel   = "pod-identity.alibabacloud.com/injection"
	helmChartLabel   = "helm.sh/chart"
	usualSecretName  = "sts-operator"
	temporaryPattern = "STS."
)

// furtherSources are variables of sources other than the AccessKey.
var furtherSources = []string{
	"ALIBABA_CLOUD_OIDC_PROVIDER_ARN", "ALIBABA_CLOUD_OIDC_TOKEN_FILE", "ALIBABA_CLOUD_CONFIG_FILE", "ALIBABA_CLOUD_CREDENTIALS_FILE",
	"ALIBABA_CLOUD_CREDENTIALS_URI",
}

var operatorIdentityChecks = []clusterCheck{
	{name: "operator-secret-missing", stage: StageIdentity, needs: hasOperator, find: ofIdentity("operator-secret-missing"),
		healthy: "The Secrets that the operator needs exist."},
	{name: "operator-token-missing", stage: StageIdentity, needs: hasOperator, find: ofIdentity("operator-token-missing"),
		healthy: "The operator has no temporary AccessKey without its token."},
	{name: "operator-identity-incomplete", stage: StageIdentity, needs: hasOperator, find: ofIdentity("operator-identity-incomplete"),
		healthy: "The operator's AccessKey is complete, if there is one."},
	{name: "operator-identity-missing", stage: StageIdentity, needs: hasOperator, find: ofIdentity("operator-identity-missing"),
		healthy: "The operator has an identity, or needs none."},
	{name: "operator-rrsa-not-injected", stage: StageIdentity, needs: hasOperator, find: ofIdentity("operator-rrsa-not-injected"),
		healthy: "RRSA is injected into the operator, if it is configured."},
	{name: "operator-node-role", stage: StageIdentity, needs: hasOperator, find: ofIdentity("operator-node-role"),
		healthy: "The operator does not act as the RAM role of its node by accident."},
}

// OperatorSecretNames returns the Secrets that the operator's environment comes from.
func OperatorSecretNames(d *appsv1.Deployment) (names []string) {
	container := manager(&d.Spec.Template.Spec)
	for _, from := range container.EnvFrom {
		if from.SecretRef != nil {
			names = append(names, from.SecretRef.Name)
		}
	}
	for _, e := range container.Env {
		if e.ValueFrom != nil && e.ValueFrom.SecretKeyRef != nil {
			names = append(names, e.ValueFrom.SecretKeyRef.Name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// ofIdentity returns the function that finds one thing that is wrong with the operators' identities.
func ofIdentity(check string) func(*Snapshot) []Finding {
	return func(s *Snapshot) (findings []Finding) {
		for i := range s.Operators {
			for _, f := range identityFindings(s, &s.Operators[i]) {
				if f.Check == check {
					findings = append(findings, f)
				}
			}
		}
		return findings
	}
}

// environment is what is known of the operator's environment.
type environment struct {
	values map[string]string // masked, as in the Snapshot
	// unknown: some of it could not be read.
	unknown bool
	// missing is the Secret that must exist for the pods to start, and does not; or an optional one.
	missing, missingOptional string
	// from is the Secret with the AccessKey, if there is one.
	from string
}

func (e *environment) has(variable string) bool { return e.values[variable] != "" }

// environmentOf resolves the operator's environment, with what a webhook injected into its pods.
func environmentOf(s *Snapshot, d *appsv1.Deployment) *environment {
	e := &environment{values: map[string]string{}}
	container := manager(&d.Spec.Template.Spec)
	for _, from := range container.EnvFrom {
		switch {
		case from.SecretRef != nil:
			e.addSecret(s, d.Namespace, from.SecretRef.Name, from.Prefix, ptr.Deref(from.SecretRef.Optional, false))
		case from.ConfigMapRef != nil:
			e.unknown = true
		}
	}
	e.addVariables(s, d.Namespace, container.Env)
	for _, p := range s.podsOf(d) {
		e.addVariables(s, d.Namespace, manager(&p.Spec).Env)
	}
	return e
}

func (e *environment) addSecret(s *Snapshot, namespace, name, prefix string, optional bool) {
	secret, known := s.OperatorSecrets[types.NamespacedName{Namespace: namespace, Name: name}]
	switch {
	case !known:
		e.unknown = true
	case secret == nil && optional:
		e.missingOptional = name
	case secret == nil:
		e.missing = name
	default:
		e.from = name
		for key, value := range secret.Data {
			e.values[prefix+key] = string(value)
		}
	}
}

func (e *environment) addVariables(s *Snapshot, namespace string, variables []corev1.EnvVar) {
	for _, v := range variables {
		switch ref := v.ValueFrom; {
		case ref == nil:
			e.values[v.Name] = v.Value
		case ref.SecretKeyRef == nil:
			e.values[v.Name] = "x"
		default:
			secret, known := s.OperatorSecrets[types.NamespacedName{Namespace: namespace, Name: ref.SecretKeyRef.Name}]
			switch {
			case !known:
				e.unknown = true
			case secret == nil && !ptr.Deref(ref.SecretKeyRef.Optional, false):
				e.missing = ref.SecretKeyRef.Name
			case secret != nil:
				e.values[v.Name] = string(secret.Data[ref.SecretKeyRef.Key])
			}
		}
	}
}

// identityFindings returns what is wrong with the identity of one operator: at most one finding, the first cause.
func identityFindings(s *Snapshot, d *appsv1.Deployment) []Finding {
	e := environmentOf(s, d)
	f := Finding{Object: nameOf(d)}
	id, secret := e.has(variableID), e.has(variableSecret)
	switch {
	case e.missing != "":
		f.Check, f.Message = "operator-secret-missing", fmt.Sprintf("Secret %s, which the operator's pods need, does not exist: "+
			"they do not start.", e.missing)
		f.Fix = createKey(d, e.missing)
	case strings.HasPrefix(e.values[variableID], temporaryPattern) && !e.has(variableToken):
		f.Check = "operator-token-missing"
		f.Message = fmt.Sprintf("%s is a temporary AccessKey ID (STS.…) and %s is not set: the operator does not start, because "+
			"STS refuses such a key.", variableID, variableToken)
		f.Fix = replaceKey(d, e)
	case id != secret:
		f.Check, f.Message = "operator-identity-incomplete", fmt.Sprintf("The operator's AccessKey is incomplete: %s is not "+
			"set.", map[bool]string{true: variableSecret, false: variableID}[id])
		f.Fix = replaceKey(d, e)
	case id, e.unknown, slices.ContainsFunc(furtherSources, e.has), !s.needsOperatorIdentity():
		return nil
	default:
		return withoutSource(s, d, e, f)
	}
	return []Finding{f}
}

// withoutSource returns the finding about an operator for which no source is configured.
func withoutSource(s *Snapshot, d *appsv1.Deployment, e *environment, f Finding) []Finding {
	disabled, set := e.values[variableNoECS]
	namespace := s.Namespaces[d.Namespace]
	injected := d.Spec.Template.Labels[injectionLabel] == "on" || namespace != nil && namespace.Labels[injectionLabel] == "on"
	switch {
	case injected && len(s.podsOf(d)) == 0:
		return nil // what the webhook injects is in the pods
	case injected:
		f.Check, f.Message = "operator-rrsa-not-injected", "RRSA is configured for the operator, and ack-pod-identity-webhook "+
			"injected nothing into its pods."
		f.Fix = fmt.Sprintf("# Check that the add-on ack-pod-identity-webhook runs, and that the ServiceAccount names the role:\n# "+
			"kubectl -n %s get serviceaccount %s -o yaml\n%s",
			d.Namespace, d.Spec.Template.Spec.ServiceAccountName, onDeployment(d, "rollout restart", ""))
	case strings.EqualFold(disabled, "true"):
		f.Check, f.Message = "operator-identity-missing", "The operator has no identity to call STS with: neither an AccessKey nor "+
			"RRSA is configured."
		if e.from != "" {
			f.Message = fmt.Sprintf("The operator has no identity to call STS with: Secret %s has the keys %s, and not %s and "+
				"%s.", e.from, s.keysOf(d, e.from), variableID, variableSecret)
		} else if e.missingOptional != "" {
			f.Message = fmt.Sprintf("The operator has no identity to call STS with: Secret %s does not exist, and RRSA is not "+
				"configured.", e.missingOptional)
		}
		f.Fix = replaceKey(d, e)
	case !set && !e.has(variableECS) && d.Labels[helmChartLabel] == "":
		f.Check = "operator-node-role"
		f.Message = fmt.Sprintf("The operator has no identity of its own, and %s is not set: it acts as the RAM role of its node, "+
			"which every pod of the node can use.", variableNoECS)
		f.Fix = "# If that is on purpose, set the variable to false.\n" + onDeployment(d, "set "+
			"env", "-c "+ManagerContainer+" "+variableNoECS+"=true") + "\n" + replaceKey(d, e)
	default:
		return nil // the node's role, on purpose
	}
	return []Finding{f}
}

// keysOf returns the names of the keys of an operator's Secret.
func (s *Snapshot) keysOf(d *appsv1.Deployment, name string) string {
	secret := s.OperatorSecrets[types.NamespacedName{Namespace: d.Namespace, Name: name}]
	keys := slices.Sorted(maps.Keys(secret.Data))
	if len(keys) == 0 {
		return "(none)"
	}
	return strings.Join(keys[:min(len(keys), 5)], ", ")
}

// needsOperatorIdentity reports whether an StsCredential uses the operator's identity.
func (s *Snapshot) needsOperatorIdentity() bool {
	for i := range s.Credentials {
		if s.Credentials[i].Spec.Identity == nil {
			return true
		}
	}
	return false
}

// literals are the arguments that take an AccessKey from the user's shell, so that no value is printed.
const literals = `--from-literal=` + variableID + `="$` + variableID + `" --from-literal=` + variableSecret + `="$` + variableSecret + `"`

// setVariables says what the commands need.
const setVariables = "# Set both variables to the AccessKey of the operator's RAM user first.\n"

func createKey(d *appsv1.Deployment, name string) string {
	return fmt.Sprintf("%skubectl -n %s create secret generic %s \\\n  %s", setVariables, d.Namespace, name, literals)
}

// replaceKey writes an AccessKey to the Secret of the operator, and restarts it.
func replaceKey(d *appsv1.Deployment, e *environment) string {
	name := usualSecretName
	switch {
	case e.from != "":
		name = e.from
	case e.missingOptional != "":
		return createKey(d, e.missingOptional) + "\n" + onDeployment(d, "rollout restart", "")
	}
	fix := fmt.Sprintf("%skubectl -n %s create secret generic %s \\\n  %s \\\n  --dry-run=client -o yaml | kubectl apply "+
		"--server-side --force-conflicts -f -\n", setVariables, d.Namespace, name, literals)
	if e.from == "" {
		fix += onDeployment(d, "set env", "-c "+ManagerContainer+" --from=secret/"+name) + "\n"
	}
	return fix + onDeployment(d, "rollout restart", "")
}
