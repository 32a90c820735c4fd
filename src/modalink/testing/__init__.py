"""What proves a part: tiny random checkpoints in Hugging Face formats, fakes of each role, kits that check a role."""
