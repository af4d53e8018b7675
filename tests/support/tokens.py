"""Bearer tokens that are long enough for GoMail not to warn of them."""

TOKEN = "the-token-of-all-tests-that-have-one"
OTHER_TOKEN = "another-token-than-that-of-the-tests"
