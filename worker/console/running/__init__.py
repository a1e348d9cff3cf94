"""Commands that pages give: what each is about, and the threads that carry it out."""
