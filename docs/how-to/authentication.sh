# Who has the secret may make a token for any name: this is how the first admin comes in.
ANTIPHON_TOKEN=$(antiphon token root --role admin --lifetime-s 600)
export ANTIPHON_TOKEN

# An admin adds users; without --password-stdin the password is asked for.
echo "correct horse battery" | antiphon users add ada --role editor --password-stdin

# A token for a user of ours has the user's role, for a program that runs without a person.
ANTIPHON_TOKEN=$(antiphon token ada)
antiphon generate "Explain the tides" --phases idea --count 1
