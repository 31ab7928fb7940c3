// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"strings"
	"time"

	openapi "github.com/alibabacloud-go/darabonba-openapi/v2/utils"
	sts "github.com/alibabacloud-go/sts-20150401/v2/client"
	"github.com/alibabacloud-go/tea/dara"

	"github.com/stscredential/sts-credential-operator/test/stsemulator"
)

const (
	loopback  = "127.0.0.1:0"
	account   = "1234567890123456"
	user      = "sts-operator"
	userARN   = "acs:ram::" + account + ":user/" + user
	roleARN   = "acs:ram::" + account + ":role/orders-reader"
	actionAsk = "AssumeRole"
)

// emulatedSTS is an STS in this process.
type emulatedSTS struct {
	*stsemulator.Emulator
	endpoint, admin string // URLs
	key             stsemulator.AccessKey
}

// startSTS starts the emulator with the operator's RAM user and a role that trusts it.
func (d *demo) startSTS(ctx context.Context) (err error) {
	emulator := stsemulator.New(stsemulator.Options{})
	d.sts = &emulatedSTS{Emulator: emulator, key: emulator.AddUser(account, user)}
	emulator.AddRole(stsemulator.Role{ARN: roleARN, Trust: []stsemulator.Statement{{RAM: []string{userARN}}}})
	if d.sts.endpoint, err = d.serve(ctx, emulator); err != nil {
		return err
	}
	if d.sts.admin, err = d.serve(ctx, emulator.Admin()); err != nil {
		return err
	}
	d.ok("an emulated STS answers at %s; %s trusts %s there", d.sts.endpoint, roleARN, userARN)
	return nil
}

// serve serves on a free port of loopback and returns the URL.
func (d *demo) serve(ctx context.Context, handler http.Handler) (string, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", loopback)
	if err != nil {
		return "", err
	}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: time.Minute}
	d.cleanup.add("stop the emulated STS", func(context.Context) error { return server.Close() })
	go func() {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			d.abort("the emulated STS: %w", err)
		}
	}()
	return "http://" + listener.Addr().String(), nil
}

// trust sets, through the admin endpoint, whom the role trusts.
func (d *demo) trust(ctx context.Context, arns ...string) error {
	trust := []stsemulator.Statement{}
	if len(arns) > 0 {
		trust = append(trust, stsemulator.Statement{RAM: arns})
	}
	body, err := json.Marshal(map[string]any{"arn": roleARN, "trust": trust})
	if err != nil {
		return err
	}
	d.command(shell("curl", "-X", http.MethodPut, d.sts.admin+"/roles", "-d", string(body)))
	request, err := http.NewRequestWithContext(ctx, http.MethodPut, d.sts.admin+"/roles", strings.NewReader(string(body)))
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode >= http.StatusMultipleChoices {
		return &surprise{want: "the emulator takes the role", got: response.Status}
	}
	return nil
}

// whoAmI asks STS, through its Go SDK, whose a triple is.
func (s *emulatedSTS) whoAmI(t triple) (string, error) {
	host := strings.TrimPrefix(s.endpoint, "http://")
	client, err := sts.NewClient(&openapi.Config{
		Protocol: dara.String("http"), Endpoint: dara.String(host), NoProxy: dara.String(host),
		ConnectTimeout: dara.Int(5000), ReadTimeout: dara.Int(5000),
		Type: dara.String("sts"), AccessKeyId: dara.String(t.id), AccessKeySecret: dara.String(t.secret), SecurityToken: dara.String(t.token),
	})
	if err != nil {
		return "", err
	}
	answer, err := client.GetCallerIdentity()
	if err != nil {
		return "", err
	}
	return dara.StringValue(answer.Body.Arn), nil
}

// asked returns the AssumeRole calls so far, by how they ended.
func (s *emulatedSTS) asked() (issued, refused []stsemulator.Call) {
	for _, call := range s.Calls() {
		switch {
		case call.Action != actionAsk:
		case call.Code == "":
			issued = append(issued, call)
		default:
			refused = append(refused, call)
		}
	}
	return issued, refused
}
