// Copyright The sts-credential-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package stsemulator

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"strings"
)

const (
	// temporaryKeyPrefix begins every AccessKeyId that STS issues.
	temporaryKeyPrefix = "STS."
	// tokenPrefix begins the security tokens seen in public.
	tokenPrefix = "CAIS"
	// A sealed token holds between minToken and maxToken bytes, so that in base64 it has 510 to 720 characters:
	// within the 490 to 730 seen in public.
	minToken, maxToken = 380, 535
)

// tokenClaims is what a security token says. Because the token carries it, the emulator keeps no list of sessions.
type tokenClaims struct {
	AccessKeyID string `json:"k"`
	RoleARN     string `json:"r"`
	SessionName string `json:"n"`
	Expires     int64  `json:"e"` // Unix seconds
}

// tokenSealer makes and reads security tokens and derives the secrets that belong to them.
type tokenSealer struct {
	aead cipher.AEAD
	seed []byte
}

func newTokenSealer() tokenSealer {
	key := make([]byte, 64)
	_, _ = rand.Read(key) // never fails, says its documentation
	block, err := aes.NewCipher(key[:32])
	if err != nil {
		panic(err) // only for a wrong key length
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		panic(err) // only for a block size other than AES's
	}
	return tokenSealer{aead: aead, seed: key[32:]}
}

// seal returns the security token for the claims.
func (s tokenSealer) seal(claims tokenClaims) string {
	plain, err := json.Marshal(claims)
	if err != nil {
		panic(err) // strings and a number always marshal
	}
	size := minToken + randomBelow(maxToken-minToken+1) - s.aead.Overhead()
	if padding := size - len(plain); padding > 0 {
		plain = append(plain, strings.Repeat(" ", padding)...) // JSON's own filler
	}
	sealed := s.aead.Seal(nil, nil, plain, nil) //nolint:gosec // this AEAD draws its nonces itself
	return tokenPrefix + base64.StdEncoding.EncodeToString(sealed)
}

// open reads a token that seal made.
func (s tokenSealer) open(token string) (tokenClaims, bool) {
	encoded, ours := strings.CutPrefix(token, tokenPrefix)
	sealed, err := base64.StdEncoding.DecodeString(encoded)
	if !ours || err != nil {
		return tokenClaims{}, false
	}
	plain, err := s.aead.Open(nil, nil, sealed, nil)
	if err != nil {
		return tokenClaims{}, false
	}
	var claims tokenClaims
	err = json.Unmarshal(plain, &claims)
	return claims, err == nil
}

// secret derives the AccessKeySecret of a temporary AccessKeyId: 44 characters, as STS's have.
func (s tokenSealer) secret(keyID string) string {
	mac := hmac.New(sha256.New, s.seed)
	mac.Write([]byte(keyID))
	return base64.URLEncoding.EncodeToString(mac.Sum(nil))
}

// identity is who a token's bearer is.
func (c tokenClaims) identity() identity {
	parts := parseRoleARN(c.RoleARN)
	roleID := numericID("3", c.RoleARN)
	return identity{
		account:     parts.account,
		arn:         "acs:ram::" + parts.account + ":assumed-role/" + parts.name + "/" + c.SessionName,
		kind:        "AssumedRoleUser",
		roleID:      roleID,
		principalID: roleID + ":" + c.SessionName,
		roleARN:     c.RoleARN,
	}
}

// randomText returns so many letters and digits.
func randomText(length int) string {
	const alphabet = "ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz123456789"
	text := make([]byte, length)
	for i := range text {
		text[i] = alphabet[randomBelow(len(alphabet))]
	}
	return string(text)
}

func randomBelow(limit int) int {
	n, _ := rand.Int(rand.Reader, big.NewInt(int64(limit))) // fails only if the reader does, and it never does
	return int(n.Int64())
}
