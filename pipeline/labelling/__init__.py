"""`make label`: a local page on which a person labels declined, corrected and suspected pictures with the keyboard."""
