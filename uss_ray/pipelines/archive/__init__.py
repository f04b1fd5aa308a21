"""The archive job: recordings stream from storage through Ray Data, are separated, and their results go back."""
