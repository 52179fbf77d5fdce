"""Mail by Amazon SES, its receipts and inbound mail by Amazon SNS."""
