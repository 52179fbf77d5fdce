"""WooCommerce: orders and customers of a shop that runs on WordPress."""
