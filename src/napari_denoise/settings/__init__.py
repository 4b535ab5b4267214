"""What a person may ask for, as frozen values that go to JSON and back."""
