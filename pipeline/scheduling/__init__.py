"""What the service does when: limits, admission, dynamic batches, pools of threads, hanging runs, and the way down."""
