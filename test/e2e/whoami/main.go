// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Command whoami is a workload: once a second it asks STS whose the credentials are that it was given. It reads them
// from its environment, which stays as it was when it started, or anew for each call from the folder of a mounted
// Secret. It prints who it is whenever the credentials are others than before, and each failure:
//
//	acs:ram::1234567890123456:assumed-role/orders-reader/shop.orders-reader, expires 2026-01-01T01:00:00Z
//	failure 1: InvalidSecurityToken.Expired
//
// The user agent of each call contains the pod and the number of earlier failures: "whoami/<pod> failures/<number>". So no
// failure is lost with the log of a deleted pod. When the program is terminated, it makes one last call.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	openapi "github.com/alibabacloud-go/darabonba-openapi/v2/utils"
	sts "github.com/alibabacloud-go/sts-20150401/v2/client"
	"github.com/alibabacloud-go/tea/tea"
)

// patience is how long a call may take, in milliseconds.
const patience = 5000

func main() {
	endpoint := flag.String("endpoint", "https://sts.cn-hangzhou.aliyuncs.com", "URL of STS.")
	folder := flag.String("folder", "", "Folder of a mounted Secret. Empty: the environment.")
	every := flag.Duration("every", time.Second, "Time between two calls.")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, workload{source: source(*folder), endpoint: *endpoint, out: os.Stdout}, *every); err != nil {
		fmt.Fprintln(os.Stderr, "whoami:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, w workload, every time.Duration) error {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		if err := w.work(); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return w.work()
		case <-ticker.C:
		}
	}
}

// workload is what it knows from one call to the next.
type workload struct {
	source   source
	endpoint string // URL
	out      io.Writer

	lastID   string
	failures int
}

// work makes one call, and prints a new identity or failure. It fails only if it cannot print.
func (w *workload) work() error {
	t, err := w.source.triple()
	who := ""
	if err == nil {
		who, err = whoAmI(w.endpoint, t, w.failures)
	}
	if err != nil {
		w.failures++
		_, err = fmt.Fprintf(w.out, "failure %d: %s\n", w.failures, reason(err))
		return err
	}
	if t.id == w.lastID {
		return nil
	}
	w.lastID = t.id
	if t.expiration != "" {
		who += ", expires " + t.expiration
	}
	_, err = fmt.Fprintln(w.out, who)
	return err
}

// reason is the error code of STS, or why there is none.
func reason(err error) string {
	var refused *tea.SDKError
	if errors.As(err, &refused) && tea.StringValue(refused.Code) != "" {
		return tea.StringValue(refused.Code)
	}
	return err.Error()
}

// whoAmI returns the identity of credentials, from STS. The call contains the number of earlier failures.
func whoAmI(endpoint string, t triple, failures int) (string, error) {
	at, err := url.Parse(endpoint)
	if err != nil {
		return "", err
	}
	hostname, err := os.Hostname()
	if err != nil {
		return "", err
	}
	client, err := sts.NewClient(&openapi.Config{
		Protocol: &at.Scheme, Endpoint: &at.Host, NoProxy: tea.String(at.Hostname()),
		ConnectTimeout: tea.Int(patience), ReadTimeout: tea.Int(patience),
		Type: tea.String("sts"), AccessKeyId: &t.id, AccessKeySecret: &t.secret, SecurityToken: &t.token,
		UserAgent: tea.String(fmt.Sprintf("whoami/%s failures/%d", hostname, failures)),
	})
	if err != nil {
		return "", err
	}
	answer, err := client.GetCallerIdentity()
	if err != nil {
		return "", err
	}
	return tea.StringValue(answer.Body.Arn), nil
}

// triple is what the operator wrote. The expiration is not part of every format.
type triple struct{ id, secret, token, expiration string }

// source is the folder of a mounted Secret, or empty for the environment.
type source string

func (s source) triple() (triple, error) {
	folder, err := s.version()
	if err != nil {
		return triple{}, err
	}
	read := func(key string) string {
		if s == "" {
			return os.Getenv(key)
		}
		content, readErr := os.ReadFile(filepath.Join(folder, key))
		if readErr != nil && !errors.Is(readErr, os.ErrNotExist) {
			err = readErr
		}
		return string(content)
	}
	t := triple{
		id:         read("ALIBABA_CLOUD_ACCESS_KEY_ID"),
		secret:     read("ALIBABA_CLOUD_ACCESS_KEY_SECRET"),
		token:      read("ALIBABA_CLOUD_SECURITY_TOKEN"),
		expiration: read("expiration"),
	}
	if err == nil && (t.id == "" || t.secret == "" || t.token == "") {
		err = errors.New("no whole triple to read")
	}
	return t, err
}

// version is the folder that holds one version of the Secret. The kubelet swaps the link ..data when the Secret
// changes; three files read past it might be of two versions. A subPath has none.
func (s source) version() (string, error) {
	link := filepath.Join(string(s), "..data")
	folder, err := filepath.EvalSymlinks(link)
	if errors.Is(err, os.ErrNotExist) {
		return string(s), nil
	}
	return folder, err
}
