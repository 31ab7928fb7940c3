// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package kubectl

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/stscredential/sts-credential-operator/api/v1alpha1"
)

// scanSecret is an AccessKey secret that nobody has.
const scanSecret = "q8Zt3LmW6xVb1NcR7yKd0HsJf5GaPe"

// scanID returns an AccessKey ID that nobody has, whose last two characters are a number.
func scanID(n int) string { return fmt.Sprintf("LTAI5tQ7vBm2XkR9cWz3Hd%02d", n) }

func inBase64(text string) string { return base64.StdEncoding.EncodeToString([]byte(text)) }

func inGzip(text string) string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = w.Write([]byte(text))
	_ = w.Close()
	return b.String()
}

// plantedTexts are texts with an AccessKey, given its ID.
var plantedTexts = []func(id string) string{
	func(id string) string { return id },
	func(id string) string { return id + "\n" },
	func(id string) string { return id + ":" + scanSecret },
	func(id string) string { return id + "," + scanSecret },
	func(id string) string { return `{"accessKeyId":"` + id + `","accessKeySecret":"` + scanSecret + `"}` },
	func(id string) string {
		return `{"current":"default","profiles":[{"mode":"AK","access_key_id":"` + id + `"}]}`
	},
	func(id string) string { return `{"a":{"b":[{"c":"{\"d\":\"` + id + `\"}"}]}}` },
	func(id string) string { return "a: 1\noss:\n  accessKeyId: " + id + "\n" },
	func(id string) string { return "oss: {id: '" + id + "', secret: '" + scanSecret + "'}\n" },
	func(id string) string { return "[default]\ntype = access_key\naccess_key_id = " + id + "\n" },
	func(id string) string {
		return "aliyun.accessKeyId=" + id + "\r\naliyun.accessKeySecret=" + scanSecret + "\r\n"
	},
	func(id string) string { return "ALIBABA_CLOUD_ACCESS_KEY_ID=" + id + "\n" },
	func(id string) string { return "#!/bin/sh\nexport AK=\"" + id + "\"\n" },
	func(id string) string { return "ossutil config -i " + id + " -k " + scanSecret },
	func(id string) string {
		return `{"auths":{"registry.example.com":{"auth":"` + inBase64(id+":x") + `"}}}`
	},
	func(id string) string {
		return "<property><name>fs.oss.accessKeyId</name><value>" + id + "</value></property>"
	},
	func(id string) string { return `access_key = "` + id + `"` },
	func(id string) string { return inBase64(id) },
	func(id string) string { return inBase64(inBase64("id=" + id + "\n")) },
	func(id string) string { return inBase64(inGzip(`{"config":{"ak":"` + id + `"}}`)) },
	func(id string) string { return inGzip("ak: " + id) },
	func(id string) string { return "apiVersion: v1\nkind: Secret\ndata:\n  ak: " + inBase64(id) + "\n" },
	func(id string) string { return "oss://" + id + ":" + scanSecret + "@bucket/path" },
	func(id string) string { return "密钥" + id },
	func(id string) string { return "\x00\x01\x02" + id + "\x00" },
}

// lookAlikes are texts without an AccessKey.
var lookAlikes = []string{
	"LTAI", "LTAIxxxxxxxxxxxx", "LTAIxxxxxxxxxxxxxxxxxxxx", "LTAI****************", "LTAI5t******************", "<your-access-key-id>",
	"LTAIyourAccessKeyID01234", "LTAI5tEXAMPLE0KEY9ID8ABC", "LTAI123456789012", "LTAIABCDEFGHIJKLMNOP", "LTAI000000000000", "LTAI5tQ7vBm2XkR",
	"LTAI5tQ7vBm2XkR9cWz3Hd8pX", "LTAI5tQ7vBm2XkR9cWz3Hd8pXYZ123456", "VOLTAI5tQ7vBm2XkR9cWz3Hd", "VOLTAIRE wrote much", "ltai5tq7vbm2xkr9cwz3hd8p",
	"LTAI5tQ7vBm2XkR9cWz3...", "LTAI5tQ7vBm2XkR9cWz3…", "LTAI-5tQ7vBm2XkR9cWz3Hd8p", "STS.NUgYrLnoC37mZZCNnAbez", "STS.LTAI5tQ7vBm2XkR9cWz3Hd",
	"my_LTAI5tQ7vBm2XkR9cWz3Hd8p", "LTAI5tQ7vBm2XkR9cWz3Hd8p_old", "$(LTAI_ACCESS_KEY)", "${LTAI_ACCESS_KEY_ID_OF_APP}", "{{ .Values.LTAI }}",
	"Zm9vYmFyMTIzNDU2Nzg5MGFi+LTAI5tQ7vBm2XkR9cWz3Hd8p/Zm9vYmFyMTIzNDU2Nzg5", "-----BEGIN KEY-----\nMIIEowIBAAKCAQEA0Z3VS5JJcds3xfn/LTAI5tQ7vBm2XkR9/yGaF\n",
	"AKIAIOSFODNN7QQQQQQQ", scanSecret, "accessKeySecret: " + scanSecret, `{"access_key_id":"LTAI<redacted>"}`, "LTAIREDACTEDREDACTED", "LTAIPLACEHOLDER12345",
	"LTAISampleKeyForDocs", "LTAIdummydummydummy1", "LTAIaaaaaaaabbbbbbbb", "LTAI5tQ7vBm2XkR9cWz3==", "LTAI5tQ7\nvBm2XkR9cWz3Hd8p",
}

func podOf(containers ...corev1.Container) corev1.PodTemplateSpec {
	for i := range containers {
		containers[i].Image = "registry.example.com/orders:1"
	}
	return corev1.PodTemplateSpec{
		ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": "x"}}, Spec: corev1.PodSpec{Containers: containers, RestartPolicy: corev1.RestartPolicyAlways},
	}
}

func (e *environment) meta(name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: e.namespace, Name: name}
}

func (e *environment) deployment(name string, template corev1.PodTemplateSpec) *appsv1.Deployment {
	none := int32(0)
	return &appsv1.Deployment{ObjectMeta: e.meta(name), Spec: appsv1.DeploymentSpec{
		Replicas: &none, Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "x"}}, Template: template,
	}}
}

// plantWorkloads creates 15 workloads and annotations with AccessKeys from a number on.
func (e *environment) plantWorkloads(n int) {
	env := func(i int) corev1.Container {
		return corev1.Container{Name: "main", Env: []corev1.EnvVar{{Name: "AK", Value: scanID(i)}, {Name: "SK", Value: scanSecret}}}
	}
	once := func(c corev1.Container) corev1.PodTemplateSpec {
		t := podOf(c)
		t.Labels, t.Spec.RestartPolicy = nil, corev1.RestartPolicyNever
		return t
	}
	selector := &metav1.LabelSelector{MatchLabels: map[string]string{"app": "x"}}
	initial := podOf(corev1.Container{Name: "main"})
	initial.Spec.InitContainers = []corev1.Container{{Name: "init", Image: "x", Env: []corev1.EnvVar{{Name: "AK", Value: scanID(n + 4)}}}}
	annotated := podOf(corev1.Container{Name: "main"})
	annotated.Annotations = map[string]string{"example.com/config": "ak=" + scanID(n+12)}
	labelled := e.deployment("labelled", podOf(corev1.Container{Name: "main"}))
	labelled.Labels = map[string]string{"ak": scanID(n + 14)}
	pod := once(env(n + 7))
	ephemeral := once(corev1.Container{Name: "main"})
	suspended, none := true, int32(0)
	copied := &corev1.Secret{ObjectMeta: e.meta("copied")}
	copied.Annotations = map[string]string{corev1.LastAppliedConfigAnnotation: `{"kind":"Secret","data":{"ak":"` + inBase64(scanID(n+11)) + `"}}`}
	for _, o := range []client.Object{
		e.deployment("by-env", podOf(env(n))),
		e.deployment("by-args", podOf(corev1.Container{Name: "main", Args: []string{"--ak=" + scanID(n+1), "--sk=" + scanSecret}})),
		e.deployment("by-command", podOf(corev1.Container{Name: "main", Command: []string{"sh", "-c", "export AK=" + scanID(n+2) + "; exec run"}})),
		e.deployment("by-text", podOf(corev1.Container{Name: "main", Env: []corev1.EnvVar{{Name: "URL", Value: "https://" + scanID(n+3) + ":x@host"}}})),
		e.deployment("by-init", initial),
		&appsv1.StatefulSet{ObjectMeta: e.meta("set"), Spec: appsv1.StatefulSetSpec{Replicas: &none, Selector: selector, Template: podOf(env(n + 5))}},
		&appsv1.DaemonSet{ObjectMeta: e.meta("daemon"), Spec: appsv1.DaemonSetSpec{Selector: selector, Template: podOf(env(n + 6))}},
		&corev1.Pod{ObjectMeta: e.meta("alone"), Spec: pod.Spec},
		&batchv1.Job{ObjectMeta: e.meta("job"), Spec: batchv1.JobSpec{Suspend: &suspended, Template: once(env(n + 8))}},
		&batchv1.CronJob{ObjectMeta: e.meta("cron"), Spec: batchv1.CronJobSpec{
			Suspend: &suspended, Schedule: "0 0 * * *", JobTemplate: batchv1.JobTemplateSpec{Spec: batchv1.JobSpec{Template: once(env(n + 9))}},
		}},
		&appsv1.ReplicaSet{ObjectMeta: e.meta("replicas"), Spec: appsv1.ReplicaSetSpec{Replicas: &none, Selector: selector, Template: podOf(env(n + 10))}},
		copied, e.deployment("annotated", annotated), labelled,
		&corev1.Pod{ObjectMeta: e.meta("debugged"), Spec: ephemeral.Spec},
	} {
		e.create(o)
	}
	debugged := &corev1.Pod{}
	e.must(e.api.Get(e.Context(), client.ObjectKey{Namespace: e.namespace, Name: "debugged"}, debugged))
	debugged.Spec.EphemeralContainers = []corev1.EphemeralContainer{{EphemeralContainerCommon: corev1.EphemeralContainerCommon{
		Name: "debug", Image: "x", Env: []corev1.EnvVar{{Name: "AK", Value: scanID(n + 13)}},
	}}}
	e.must(e.api.SubResource("ephemeralcontainers").Update(e.Context(), debugged))
}

// scanReport is the part of scan -o json that the tests read.
type scanReport struct {
	Findings []struct {
		Object   struct{ Kind, Name string }
		Place    string
		LastFour string
		Note     string
		Readers  []struct {
			Workload struct{ Kind, Name string }
			How, At  string
		}
	}
	Unread []struct{ Resource string }
}

func (e *environment) scanReport(r result) (report scanReport) {
	e.Helper()
	if err := json.Unmarshal([]byte(r.out), &report); err != nil {
		e.Fatalf("%v in %s", err, r)
	}
	return report
}

// wantNoValue requires that a text has no planted AccessKey.
func (e *environment) wantNoValue(text string) {
	e.Helper()
	for _, value := range []string{scanID(0)[:20], scanSecret} {
		if strings.Contains(text, value) {
			e.Error("an AccessKey is printed")
		}
	}
}

func TestScanFindsPlantedKeysOnly(t *testing.T) {
	e := newEnvironment(t)
	n := 0
	for ; n < len(plantedTexts); n++ {
		data := map[string][]byte{"some.key": []byte(plantedTexts[n](scanID(n)))}
		name := fmt.Sprint("planted-", n)
		if n%2 == 0 {
			e.create(&corev1.Secret{ObjectMeta: e.meta(name), Data: data})
			continue
		}
		e.create(&corev1.ConfigMap{ObjectMeta: e.meta(name), BinaryData: data})
	}
	e.plantWorkloads(n)
	n += 15
	for i, text := range lookAlikes {
		name := fmt.Sprint("similar-", i)
		e.create(&corev1.Secret{ObjectMeta: e.meta(name), Data: map[string][]byte{"value": []byte(text)}})
		e.create(&corev1.ConfigMap{ObjectMeta: e.meta(name), Data: map[string]string{"value": text}})
	}
	r := e.admin("scan", "-o", "json")
	report := e.scanReport(r)
	found := map[string]int{}
	for _, f := range report.Findings {
		if found[f.LastFour]++; strings.HasPrefix(f.Object.Name, "similar-") {
			e.Errorf("%s %s is found", f.Object.Kind, f.Object.Name)
		}
	}
	for i := range n {
		if last := scanID(i)[20:]; found[last] != 1 {
			e.Errorf("planted key %d is found %d times", i, found[last])
		}
	}
	if n < 40 || len(lookAlikes) < 40 || len(report.Findings) != n || r.status != 1 || len(report.Unread) > 0 {
		e.Errorf("%d findings of %d, %d look-alikes, %d unread, exit status %d", len(report.Findings), n, len(lookAlikes), len(report.Unread), r.status)
	}
	table := e.admin("scan", "-o", "wide")
	e.wantAll(table.out, "copy of what was applied", "containers[main].args[0]", "Deployment/by-env")
	e.wantNoValue(r.String() + table.String() + e.admin("scan", "-o", "yaml").String())
}

func TestScanOfCleanNamespace(t *testing.T) {
	e := newEnvironment(t)
	e.credential("orders")
	if r := e.admin("scan"); r.status != 0 || !strings.Contains(r.err, "No long-term AccessKey found.") {
		e.Error(r)
	}
}

// For a user of one namespace, scan reports what it could not read, and finds the rest.
func TestScanWithFewRights(t *testing.T) {
	e := newEnvironment(t)
	e.create(&corev1.Secret{ObjectMeta: e.meta("key"), Data: map[string][]byte{"id": []byte(scanID(1))}})
	user := e.user("configmaps", grant{"list", "", "configmaps", false})
	e.eventually("what could not be read is named", func() bool {
		r := e.run(user, "scan", "-n", e.namespace)
		return r.status == 2 && strings.Contains(r.err, "secrets in namespace "+e.namespace) && !strings.Contains(r.err, "configmaps in")
	})
	rights := []grant{}
	for _, r := range strings.Fields("/secrets /configmaps /pods apps/deployments apps/statefulsets apps/daemonsets apps/replicasets batch/jobs batch/cronjobs sts.alibabacloud.com/stscredentials") {
		group, name, _ := strings.Cut(r, "/")
		rights = append(rights, grant{"list", group, name, false})
	}
	user = e.user("all", rights...)
	e.eventually("all is read", func() bool {
		r := e.run(user, "scan", "-n", e.namespace)
		return r.status == 1 && r.err == ""
	})
	r := e.run(user, "scan", "-A", "-n", e.namespace)
	if r.status != 1 || !strings.Contains(r.err, "secrets in all namespaces") || !strings.Contains(r.out, "Secret/key") {
		e.Error(r)
	}
}

func TestScanMarksIdentities(t *testing.T) {
	e := newEnvironment(t)
	e.create(&corev1.Secret{ObjectMeta: e.meta("ram-user"), Data: map[string][]byte{"accessKeyId": []byte(scanID(1)), "accessKeySecret": []byte(scanSecret)}})
	e.create(&v1alpha1.StsCredential{ObjectMeta: e.meta("orders"), Spec: v1alpha1.StsCredentialSpec{
		RoleARN: role, Identity: &v1alpha1.IdentitySpec{AccessKey: &v1alpha1.AccessKeyIdentity{SecretName: "ram-user"}},
	}})
	if r := e.admin("scan"); r.status != 1 || !strings.Contains(r.out, "identity of StsCredential "+e.namespace+"/orders") {
		e.Error(r)
	}
}

// Only a Deployment with the rights of the operator is marked as such.
func TestScanMarksOperator(t *testing.T) {
	e := newEnvironment(t)
	e.create(&corev1.Secret{ObjectMeta: e.meta("key"), Data: map[string][]byte{"id": []byte(scanID(1)), "secret": []byte(scanSecret)}})
	d := e.deployment("sts-credential-operator", podOf(corev1.Container{Name: "manager", EnvFrom: []corev1.EnvFromSource{{
		SecretRef: &corev1.SecretEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: "key"}},
	}}}))
	d.Labels = map[string]string{"app.kubernetes.io/name": "sts-credential-operator"}
	e.create(d)
	if r := e.admin("scan"); r.status != 1 || strings.Contains(r.out, "identity of the operator") {
		e.Error(r)
	}
	binding := &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: e.namespace}, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "cluster-admin"},
		Subjects: []rbacv1.Subject{{Kind: "ServiceAccount", Namespace: e.namespace, Name: "default"}},
	}
	e.create(binding)
	e.eventually("the operator is marked", func() bool { return strings.Contains(e.admin("scan").out, "identity of the operator") })
}

// readers creates workloads that read an AccessKey in each way, and returns them.
func (e *environment) readers() []*appsv1.Deployment {
	ref := func(key string) *corev1.EnvVarSource {
		return &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{LocalObjectReference: corev1.LocalObjectReference{Name: "old"}, Key: key}}
	}
	env := func(id, secret string) corev1.PodTemplateSpec {
		return podOf(corev1.Container{Name: "main", Env: []corev1.EnvVar{{Name: id, ValueFrom: ref("id")}, {Name: secret, ValueFrom: ref("secret")}, {Name: "OTHER", Value: "1"}}})
	}
	volume := podOf(corev1.Container{Name: "main", VolumeMounts: []corev1.VolumeMount{
		{Name: "key", MountPath: "/etc/key"}, {Name: "key", MountPath: "/etc/id", SubPath: "id"},
	}})
	volume.Spec.Volumes = []corev1.Volume{{Name: "key", VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: "old"}}}}
	from := podOf(corev1.Container{Name: "main", EnvFrom: []corev1.EnvFromSource{{
		SecretRef: &corev1.SecretEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: "old"}}, Prefix: "P_",
	}}})
	deployments := []*appsv1.Deployment{
		e.deployment("sdk", env("ALIBABA_CLOUD_ACCESS_KEY_ID", "ALIBABA_CLOUD_ACCESS_KEY_SECRET")),
		e.deployment("oss", env("OSS_ACCESS_KEY_ID", "OSS_ACCESS_KEY_SECRET")),
		e.deployment("own-names", env("MPAAS_AK_ENV", "MPAAS_SK_ENV")),
		e.deployment("literal", podOf(corev1.Container{Name: "main", Env: []corev1.EnvVar{{Name: "ALICLOUD_ACCESS_KEY", Value: scanID(1)}, {Name: "ALICLOUD_SECRET_KEY", Value: scanSecret}}})),
		e.deployment("arguments", podOf(corev1.Container{Name: "main", Args: []string{"run", "--ak=" + scanID(1), "--sk=" + scanSecret}})),
		e.deployment("volume", volume),
		e.deployment("env-from", from),
	}
	for _, d := range deployments {
		e.create(d)
	}
	return deployments
}

// generated reads all files below a directory.
func (e *environment) generated(directory string) map[string]string {
	files, root := map[string]string{}, os.DirFS(directory)
	e.must(fs.WalkDir(root, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := fs.ReadFile(root, path)
		files[filepath.Join(directory, path)] = string(content)
		return err
	}))
	return files
}

// kubectl runs a line of the generated README.
func (e *environment) kubectl(directory, line string) {
	e.Helper()
	command := exec.CommandContext(e.Context(), "sh", "-euc", line)
	command.Dir = directory
	command.Env = append(os.Environ(), "KUBECONFIG="+e.plane.Kubeconfig(), "PATH="+e.plane.Assets()+":"+os.Getenv("PATH"))
	if output, err := command.CombinedOutput(); err != nil {
		e.Fatalf("%s: %v\n%s", line, err, output)
	}
}

func TestScanGeneratesWhatReplacesKeys(t *testing.T) {
	e := newEnvironment(t)
	old := &corev1.Secret{ObjectMeta: e.meta("old"), Data: map[string][]byte{"id": []byte(scanID(1)), "secret": []byte(scanSecret), "other": []byte("1")}}
	e.create(old)
	deployments := e.readers()
	directory := filepath.Join(t.TempDir(), "migration")
	t.Cleanup(func() {
		_ = e.api.Delete(context.Background(), &v1alpha1.StsRoleGrant{ObjectMeta: metav1.ObjectMeta{Name: e.namespace + ".old-sts"}})
	})
	r := e.admin("scan", "--generate", directory, "-o", "json")
	e.wantNoValue(r.String())
	hows := []string{}
	for _, f := range e.scanReport(r).Findings {
		for _, reader := range f.Readers {
			hows = append(hows, reader.How)
		}
	}
	slices.Sort(hows)
	if got := strings.Join(slices.Compact(hows), " "); got != "env envFrom subPath volume" {
		e.Errorf("the key is read by %s", got)
	}
	files := e.generated(directory)
	for path, content := range files {
		e.wantNoValue(content)
		e.must(os.WriteFile(path, []byte(strings.ReplaceAll(content, "acs:ram::TODO:role/TODO", role)), 0o600))
	}
	if r := e.admin("scan", "--generate", directory); r.status != 1 || !strings.Contains(r.err, "is not empty") {
		e.Error(r)
	}
	if r := e.admin("scan", "--generate", directory, "--force"); r.status != 1 || !strings.Contains(r.err, "exists in") {
		e.Error(r)
	}
	for line := range strings.Lines(files[filepath.Join(directory, "README.md")]) {
		if strings.HasPrefix(line, "   kubectl") {
			e.kubectl(directory, line)
		}
	}
	for _, d := range deployments {
		e.must(e.api.Get(e.Context(), client.ObjectKeyFromObject(d), d))
		template, _ := json.Marshal(d.Spec.Template)
		e.wantAll(string(template), `"name":"old-sts"`)
		e.wantNoValue(string(template))
	}
	wantEnv(e, deployments[2], "MPAAS_AK_ENV", "MPAAS_SK_ENV", "MPAAS_SECURITY_TOKEN", "OTHER")
	wantEnv(e, deployments[3], "ALICLOUD_ACCESS_KEY", "ALICLOUD_SECRET_KEY", "ALICLOUD_SECURITY_TOKEN")
	if args := deployments[4].Spec.Template.Spec.Containers[0].Args; args[1] != "--ak=$(ALIBABA_CLOUD_ACCESS_KEY_ID)" || args[2] != "--sk=$(ALIBABA_CLOUD_ACCESS_KEY_SECRET)" {
		e.Errorf("arguments %q", args)
	}
	wantKeys(e, deployments)
	delete(old.Data, "id")
	delete(old.Data, "secret")
	e.must(e.api.Update(e.Context(), old))
	if r := e.admin("scan"); r.status != 0 {
		e.Error(r)
	}
}

// wantEnv requires that a Deployment has exactly these variables.
func wantEnv(e *environment, d *appsv1.Deployment, names ...string) {
	e.Helper()
	got := []string{}
	for _, v := range d.Spec.Template.Spec.Containers[0].Env {
		got = append(got, v.Name)
	}
	slices.Sort(got)
	slices.Sort(names)
	if !slices.Equal(got, names) {
		e.Errorf("Deployment %s has variables %v, want %v", d.Name, got, names)
	}
}

// wantKeys requires that each key that Deployments read of the new Secret exists.
func wantKeys(e *environment, deployments []*appsv1.Deployment) {
	e.Helper()
	issued := &corev1.Secret{}
	e.must(e.api.Get(e.Context(), client.ObjectKey{Namespace: e.namespace, Name: "old-sts"}, issued))
	want := func(name, key string) {
		if name == issued.Name && len(issued.Data[key]) == 0 {
			e.Errorf("key %s is read, and missing", key)
		}
	}
	for _, d := range deployments {
		for _, v := range d.Spec.Template.Spec.Containers[0].Env {
			if v.ValueFrom != nil {
				want(v.ValueFrom.SecretKeyRef.Name, v.ValueFrom.SecretKeyRef.Key)
			}
		}
		for _, v := range d.Spec.Template.Spec.Volumes {
			for _, source := range v.Projected.Sources {
				for _, item := range source.Secret.Items {
					want(source.Secret.Name, item.Key)
				}
			}
		}
	}
}

// maxScanMemory is the bound of the resident memory of a scan.
const maxScanMemory = 80 << 20

// peakMemory returns the most resident memory of a process, in bytes, until it ends. The rusage of the process would count the
// memory of its parent too.
func peakMemory(pid int, ended <-chan struct{}) (peak int64) {
	for {
		status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		for line := range strings.Lines(string(status)) {
			var kibibytes int64
			if _, err := fmt.Sscanf(line, "VmHWM: %d kB", &kibibytes); err == nil {
				peak = max(peak, kibibytes<<10)
			}
		}
		select {
		case <-ended:
			return peak
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// TestScanOfManySecrets measures a scan of ten thousand Secrets, some of them as large as they can be.
func TestScanOfManySecrets(t *testing.T) {
	if os.Getenv("STSCRED_SCAN_SECRETS") == "" {
		t.Skip("set STSCRED_SCAN_SECRETS to a number of Secrets, such as 10000")
	}
	var n int
	if _, err := fmt.Sscan(os.Getenv("STSCRED_SCAN_SECRETS"), &n); err != nil {
		t.Fatal(err)
	}
	e := newEnvironment(t)
	hostile := [][]byte{
		bytes.Repeat([]byte("LTAI"), 250_000), bytes.Repeat([]byte("["), 1_000_000), bytes.Repeat([]byte("TFRB"), 250_000),
		[]byte(inGzip(strings.Repeat(" ", 200<<20))),
	}
	large := min(100, n/4)
	for i := range n {
		value := []byte(strings.Repeat("some configuration = of no interest\n", 50))
		if i < large {
			value = hostile[i%len(hostile)]
		}
		if i == n-1 {
			value = []byte(scanID(1))
		}
		e.create(&corev1.Secret{ObjectMeta: e.meta(fmt.Sprintf("s-%05d", i)), Data: map[string][]byte{"value": value}})
	}
	start := metav1.Now()
	process := exec.CommandContext(t.Context(), e.plugin, "scan", "-n", e.namespace)
	process.Env = []string{"KUBECONFIG=" + e.plane.Kubeconfig(), "HOME=" + t.TempDir()}
	var printed bytes.Buffer
	process.Stdout = &printed
	e.must(process.Start())
	ended := make(chan struct{})
	go func() { _ = process.Wait(); close(ended) }()
	peak := peakMemory(process.Process.Pid, ended)
	end, output := metav1.Now(), printed.Bytes()
	t.Logf("%d Secrets, %d of them of up to 1 MB: %s, %d MiB resident at most", n, large, end.Sub(start.Time), peak>>20)
	if peak > maxScanMemory || !bytes.Contains(output, []byte("…"+scanID(1)[20:])) {
		t.Errorf("%d MiB resident, want at most %d, and the one key found:\n%s", peak>>20, maxScanMemory>>20, output)
	}
}
