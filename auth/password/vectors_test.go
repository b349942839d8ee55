package password_test

import "github.com/shoalmq/shoal/auth/password"

// Hashes of "päss word" by implementations of others: passlib, mosquitto_passwd and Python's hashlib.

var described = []string{
	"$pbkdf2-sha256$1000$Z6y19l5LiXHOGeMc4xzDuA$ar4uxgTqXvp8lrVsmG0mgPrYjt998RKgkK3JMc8t5Hc",
	"$pbkdf2-sha512$1000$bK31Puf8v1eKEcJ4b83Zmw$JV9eH5pYKwxToXyNxwFBvAyCxgi5Wt9ejOZr1tzrQukvkrNI1Id9ybnVHCm7Mj8cILcwSkNHpzuhX.5RKwIdUA",
	"$pbkdf2$1000$PCdkzJkz5vw/h9B6r7WWUg$B6Y8Wy0ecXEtPFPrui1HpSfQvBA",
	"$scrypt$ln=10,r=8,p=1$zzkHwHgPobS2dm4NwViL0Q$lLLEC5BZSUw58CCPFe1bGbT5IjKqRbSPF+3CVlnIVyw",
	"$argon2id$v=19$m=1024,t=2,p=2$jrF2LqVUirEWAkBo7b23dg$L92TnVnsrZr/bhtSjA49iLQsm8HoxqKm3ZPR7PWaniQ",
	"$argon2i$v=19$m=1024,t=2,p=2$09obg3COsbY2pjTmXCulNA$VdmmCpmQe9epHGGmzOO6iCOcb3xQqis1E9Yx+VWhT08",
	"$2b$05$.U//y76kAcHWBJjZqmMv4.GhffyKIOuhA8QH7wulLOTMc/Mcte3x2",
	"$2a$05$L1Eddc4le/eR9z3GkiayUObMQ.MtCaonsapR8KdMmGNEtzcYjvYL2",
	"$7$101$DtH8zykt9noucEzs$OLM0mKW5qPMR6lTnRiemwUHSHD+rJmsiEQ2JmFLe1s66k56/uDXpgr6KLGy/a8JEPa8w+5vu4ckCqe1IWb5vLQ==",
	"$6$p6WvZepKNnccRDAb$D6VImsQxXqlw0Pwa/5qsYL4GKu6YfdBoWUFZ9C76QVsHNR5L+thq7aCVXmRiIbQNGF+w++0kLO0QxSTB8bjRzw==",
}

// digests has, for each algorithm, the hash without a salt, and with the salt "salt" before and
// after the password. The key of the HMACs is "key".
var digests = map[password.Algorithm][3]string{
	"md5": {
		"ad5ee778d14417c95e396d7087538caa",
		"797a031517bb8904274257061f2c6691",
		"fd7114883391a663dcd0e41f20d9648b",
	},
	"sha1": {
		"cc7f7121dbef0a4d4fb22e2e8bd3819410c371d0",
		"7ecd3273feae37d0a9947e119af734a24fba6cb2",
		"eb535d5e1c3dfe0aade45a09b5f73b99edd33b02",
	},
	"sha256": {
		"80053c0c7c8ed6aeb9c948cee725149e7ea35e908940f0d8069076d273221ff9",
		"dd3223b4d146f9e3e87a8cbd4466599afd96ae58f75942b4edebde0ff1d78776",
		"29d73cfbb73ff3583ea922d2754dcb45e32b6a567f2794b1571a7774cbdaa418",
	},
	"sha512": {
		"1ab8650057912e9a29858c1201b9ef3ee79d665df79e409ae08c04bb7758977be39ae59cb38b7021528f76cc1c86c1aa5429ac7c12d0e587f08ac81f81a96801",
		"849cb6d9dff1769c1588b32be87dc73901dce7c48762495fd9103cc628d37aca64a977be6fd4f2d4c0ca8cb2fcae025c77303d7025023eb69ea2fc20653902c1",
		"3deda2927d17f0411db713d129fd5f980a84a87a42c3f0d5f3312ed4fe6713eddda77f73b61307fc7c1ad9624a82d7a0b5a263222594a1b7616501e21c395f43",
	},
	"hmac-sha1": {
		"5740356171a1df7041d88ae5e5a9753aa60239ef",
		"11143fed1c394a73ab3d3b470d2c70ede7c978a8",
		"4279b4f5695103826542fa25fd90b96ffa645d9f",
	},
	"hmac-sha256": {
		"2aa73cdc852a4c93e27a88ed260ce288659797f94cf40b158666c97ff6dc1499",
		"eb94d8e28f74d7b10af72dbdf80185dfb6d827e7be85c7dca785297b93ba49f3",
		"be5f19dc8bc082c509ada3f8c73b33a0deb820d457a706e91160ce2bcffdd146",
	},
	"hmac-sha512": {
		"1dd8ba99d277529776b70d616aee5a8cab91385b1bb6136d7ec549159aa7b81d6cd7fb61705a3cd50cd629456dc67829f5407fa0b8fcec69717aab388c24e041",
		"017b2eb883c63927575a1ce0ec34ac2a707e7373dde810faa6d5963576bcb8c3c844c223b10c8ed4aee7d6b32f6a860105fab917a10938474caf6667e8c6ef3a",
		"822b73e34579473994a6ba260c03ed501860899cf883c6587bf5d4c85f6e02203674d942a7d625f60cf6768658ef2de781ddc68bba79824ee48b889e3c219b5c",
	},
}
