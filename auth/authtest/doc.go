// Package authtest has the contract that every source of users passes, for the tests of sources.
//
//	func TestContract(t *testing.T) {
//		authtest.Run(t, authtest.Suite{Open: func(t *testing.T, cfg source.Config) *source.Authenticator { … }})
//	}
package authtest
