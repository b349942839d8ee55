package source_test

import (
	"context"
	"fmt"

	"github.com/shoalmq/shoal"
	"github.com/shoalmq/shoal/auth/acl"
	"github.com/shoalmq/shoal/auth/source"
)

// devices is a Source of one's own: it knows devices by their serial numbers.
type devices map[string]string

func (d devices) User(_ context.Context, q *source.Query) (*source.User, error) {
	hash, ok := d[q.Name]
	if !ok {
		return nil, source.ErrUnknownUser
	}
	return &source.User{Hash: hash}, nil
}

func (devices) Rules(context.Context, *source.Subject) (*acl.List, error) {
	return acl.Compile(acl.DenyWins, []acl.Rule{{Effect: acl.Allow, Filter: "devices/%u/#"}})
}

func ExampleNew() {
	mine := devices{"sn-17": "$7$101$DtH8zykt9noucEzs$OLM0mKW5qPMR6lTnRiemwUHSHD+rJmsiEQ2JmFLe1s66k56/uDXpgr6KLGy/a8JEPa8w+5vu4ckCqe1IWb5vLQ=="}
	a, err := source.New(mine, source.Config{Name: "devices", Local: true})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = a.Close() }()
	ctx := context.Background()
	p, err := a.Authenticate(ctx, &shoal.Credentials{UserName: "sn-17", Password: []byte("päss word")})
	fmt.Println(p.Name, err)
	for _, topic := range []string{"devices/sn-17/state", "devices/sn-18/state"} {
		err = a.Authorize(ctx, &shoal.AccessRequest{Principal: p, Action: shoal.ActionPublish, Topic: topic})
		fmt.Println(topic, err == nil)
	}
	// Output:
	// sn-17 <nil>
	// devices/sn-17/state true
	// devices/sn-18/state false
}
