package auth_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/shoalmq/shoal"
	"github.com/shoalmq/shoal/auth"
)

// ownTopics lets clients use only the topic that bears their name.
type ownTopics struct{}

func (ownTopics) Authorize(_ context.Context, r *shoal.AccessRequest) error {
	if r.Topic != r.Principal.Name {
		return errors.New("not yours")
	}
	return nil
}

func ExampleFirst() {
	employees, guests := know("employees", "ann"), know("guests", "bob")
	a := auth.First(employees, auth.Authorized(guests, ownTopics{}))
	ctx := context.Background()
	for _, name := range []string{"ann", "bob", "eve"} {
		p, err := a.Authenticate(ctx, &shoal.Credentials{UserName: name})
		if err != nil {
			fmt.Println(name, "may not connect:", err)
			continue
		}
		err = a.(shoal.Authorizer).Authorize(ctx, &shoal.AccessRequest{Principal: p, Topic: "news"})
		fmt.Println(name, "may use news:", err == nil)
	}
	// Output:
	// ann may use news: true
	// bob may use news: false
	// eve may not connect: Bad User Name or Password (0x86): unknown to guests
}
