"""What happens here is told to addresses of the deployment's own: endpoints, and the posts each of them gets."""
