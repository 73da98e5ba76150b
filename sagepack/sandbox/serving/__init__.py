"""The containers behind the sandbox's endpoints: AWS's serving stack, or a small server in its place."""
