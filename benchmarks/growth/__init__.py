"""Measures how septum alone grows: from 411 parts to 100,000."""
