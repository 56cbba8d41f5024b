"""What people read: the HTML report, model cards, Markdown tables."""
