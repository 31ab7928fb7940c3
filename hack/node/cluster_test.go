// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/kubernetes"
)

// e2eVariable lets the tests run that need root, Debian's packages and minutes: make e2e sets it.
const e2eVariable = "E2E"

// A pod runs, writes logs, and responds at its own address and at its Service's. At the end nothing is left.
func TestCluster(t *testing.T) {
	if os.Getenv(e2eVariable) == "" {
		t.Skip("starts a node: make e2e")
	}
	// Not t.Context(): that one ends before the test's last step, which stops it.
	c, err := Start(context.Background(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Stop() }()
	client, err := kubernetes.NewForConfig(c.Config())
	if err != nil {
		t.Fatal(err)
	}
	const image = "localhost/stsemulator:1"
	if err := c.ImportProgram(t.Context(), image, "test/stsemulator/cmd/stsemulator"); err != nil {
		t.Fatal(err)
	}
	pod, service := serve(t, client, image)
	for _, host := range []string{pod.Status.PodIP, service.Spec.ClusterIP} {
		eventually(t, host+" answers", func() error { return get("http://" + host + ":8481/healthz") })
	}
	log, err := client.CoreV1().Pods(pod.Namespace).GetLogs(pod.Name, &corev1.PodLogOptions{}).DoRaw(t.Context())
	if err != nil || !strings.HasPrefix(string(log), "stsemulator ready:") {
		t.Errorf("got %v: %s; want the log of the pod", err, log)
	}
	if err := c.Stop(); err != nil {
		t.Error(err)
	}
	leavesNothing(t, c.slot)
	if logs, _ := filepath.Glob(filepath.Join(c.Dir(), "logs", "pods", "*", "*", "*.log")); len(logs) != 1 {
		t.Errorf("got %v; want the pod's log to stay", logs)
	}
}

// serve runs the emulator in a pod behind a Service.
func serve(t *testing.T, client kubernetes.Interface, image string) (*corev1.Pod, *corev1.Service) {
	t.Helper()
	pods := client.CoreV1().Pods(metav1.NamespaceDefault)
	meta := metav1.ObjectMeta{Name: "sts", Labels: map[string]string{"app": "sts"}}
	container := corev1.Container{Name: "sts", Image: image, Args: []string{"--admin-listen=:8481"}}
	_, err := pods.Create(t.Context(), &corev1.Pod{ObjectMeta: meta, Spec: corev1.PodSpec{Containers: []corev1.Container{container}}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	service, err := client.CoreV1().Services(metav1.NamespaceDefault).Create(t.Context(), &corev1.Service{
		ObjectMeta: meta,
		Spec:       corev1.ServiceSpec{Selector: meta.Labels, Ports: []corev1.ServicePort{{Port: 8481, TargetPort: intstr.FromInt32(8481)}}},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var pod *corev1.Pod
	eventually(t, "the pod runs", func() (err error) {
		pod, err = pods.Get(t.Context(), meta.Name, metav1.GetOptions{})
		if err == nil && pod.Status.Phase != corev1.PodRunning {
			err = fmt.Errorf("it is %s: %v", pod.Status.Phase, pod.Status.ContainerStatuses)
		}
		return err
	})
	return pod, service
}

// Whoever is killed while a cluster runs takes it along; what a kernel does not clean up, the next cluster does.
func TestKilled(t *testing.T) {
	if os.Getenv(e2eVariable) == "" {
		t.Skip("starts a node: make e2e")
	}
	if os.Getenv(e2eVariable) == t.Name() {
		c, err := Start(context.Background(), Options{})
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(c.Dir(), "started"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		select {}
	}
	s, lock, err := takeSlot(t.Context()) // which the child is to get
	if err != nil {
		t.Fatal(err)
	}
	if err := lock.Close(); err != nil {
		t.Fatal(err)
	}
	child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$")
	child.Env = append(os.Environ(), e2eVariable+"="+t.Name())
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	c := &Cluster{slot: s}
	dir, err := c.place()
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the child's cluster runs", func() error {
		_, err := os.Stat(filepath.Join(dir, "started"))
		return err
	})
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = child.Wait()
	eventually(t, "its processes are gone", func() error { return noProcess(s) })
	if err := c.clear(dir); err != nil {
		t.Error(err)
	}
	leavesNothing(t, s)
}

// leavesNothing checks that no process, interface, mount or cgroup of the cluster is there.
func leavesNothing(t *testing.T, s slot) {
	t.Helper()
	if err := noProcess(s); err != nil {
		t.Error(err)
	}
	if mounts, err := os.ReadFile("/proc/self/mounts"); err != nil || strings.Contains(string(mounts), s.Name) {
		t.Errorf("%v, mounts:\n%s", err, mounts)
	}
	for _, root := range hierarchies() {
		if _, err := os.Stat(filepath.Join(root, s.Name)); !os.IsNotExist(err) {
			t.Errorf("the cgroup %s in %s is still there: %v", s.Name, root, err)
		}
	}
	eventually(t, "the interface is gone", func() error {
		if _, err := os.Stat("/sys/class/net/" + s.Name); !os.IsNotExist(err) {
			return fmt.Errorf("it is there: %w", err)
		}
		return nil
	})
}

// noProcess reports processes whose command line names the cluster's folder or whose cgroup is the cluster's.
func noProcess(s slot) error {
	for _, pattern := range []string{"/proc/[0-9]*/cmdline", "/proc/[0-9]*/cgroup"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			return err
		}
		for _, file := range files {
			if content, err := os.ReadFile(file); err == nil && strings.Contains(string(content), "/"+s.Name+"/") {
				return fmt.Errorf("%s: %q", file, content)
			}
		}
	}
	return nil
}

func get(url string) error {
	client := &http.Client{Timeout: time.Second, Transport: &http.Transport{}} // without a proxy
	response, err := client.Get(url)                                           //nolint:noctx // it has a timeout
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s", response.Status)
	}
	return nil
}

func eventually(t *testing.T, what string, try func() error) {
	t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(100 * time.Millisecond) {
		err := try()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("not in time: %s: %v", what, err)
		}
	}
}
